"""A trained network on a micrograph of any size."""
