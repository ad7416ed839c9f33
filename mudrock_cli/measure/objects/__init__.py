"""Grains and pores: labelled, put together over bands, and each with its shape."""
