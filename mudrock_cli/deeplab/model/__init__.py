"""The model folder: written whole, loaded with everything checked, described by its card."""
