"""What `evaluate` compares, and how each image scores."""
