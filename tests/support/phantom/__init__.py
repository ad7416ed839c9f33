"""Synthetic micrographs with exact truth: geometry first, then how an SEM sees it."""

from phantom.shapes import PhantomSpec, random_spec
from phantom.synthesis import Phantom, make_ellipses, make_phantom, redraw

__all__ = ["Phantom", "PhantomSpec", "make_ellipses", "make_phantom", "random_spec", "redraw"]
