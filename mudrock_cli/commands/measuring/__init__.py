"""What `stats` does with each mask, and what it says of it."""
