"""The network: described by a recipe, trained, kept as a folder, run on micrographs."""
