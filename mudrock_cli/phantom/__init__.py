"""Synthetic micrographs with exact truth: geometry first, then how an SEM sees it."""

from mudrock_cli.phantom.shapes import PhantomSpec, random_spec
from mudrock_cli.phantom.synthesis import Phantom, make_ellipses, make_patch, make_phantom

__all__ = ["Phantom", "PhantomSpec", "make_ellipses", "make_patch", "make_phantom", "random_spec"]
