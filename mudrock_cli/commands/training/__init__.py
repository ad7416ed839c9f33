"""What `train` does beside the networks: forests, and what is said of a training."""
