"""The nouns, and reading and writing them."""
