"""Figures of an image, a sample and a group, with what is to be minded about them."""
