"""Phases without a network: the paper's image-processing workflow and its random forest."""
