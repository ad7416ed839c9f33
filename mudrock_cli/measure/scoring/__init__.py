"""Masks against labels: confusion, boundaries, matched instances, and their tables."""
