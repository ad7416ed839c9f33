"""One training: samples and a recipe to weights."""
