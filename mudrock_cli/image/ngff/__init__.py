"""OME-Zarr (NGFF 0.4 and 0.5): images and labels in chunks, with pixel sizes and smaller levels."""
