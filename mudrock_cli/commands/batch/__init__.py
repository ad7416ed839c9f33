"""What commands share that turn many inputs into files: the loop, its outputs, what it says."""
