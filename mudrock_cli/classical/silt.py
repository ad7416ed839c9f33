"""Silt: what is left of the solid after erosion and dilation, if it is large enough."""

import math

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.classical.contrast import Mask

Sides = tuple[bool, bool, bool, bool]
"""Whether a window ends with the image at its top, bottom, left, right."""


def opening_reach(thickness: float) -> int:
    """Return how many pixels around a place decide whether it is in the opened solid."""
    return 2 * math.ceil(thickness / 2) + 2


def open_solid(solid: Mask, thickness: float, rim: float, sides: Sides) -> Mask:
    """Erode the solid by a disc and dilate it, but leave out a rim.

    Erosion and dilation by a disc are thresholds on exact Euclidean distances, at a cost that does
    not grow with the disc. Beyond the frame the image is mirrored, so a grain that the frame cuts
    keeps its edge.

    Parameters
    ----------
    solid : ndarray of uint8, shape (rows, columns)
        0 where pores, cracks or grooves between platelets interrupt a smooth solid.
    thickness : float
        Diameter of the disc, pixels.
    rim : float
        The dilation is smaller than the erosion by this many pixels.
    sides : tuple of bool
        Whether the window ends with the image at its top, bottom, left, right.

    Returns
    -------
    ndarray of uint8, shape (rows, columns)
    """
    radius = thickness / 2
    reach = math.ceil(radius) + 1
    top, bottom, left, right = (reach if side else 0 for side in sides)
    padded = cv2.copyMakeBorder(1 - solid, top, bottom, left, right, cv2.BORDER_REFLECT)
    if not padded.any():
        return np.ones_like(solid)
    core = distance_to(padded) > radius
    if not core.any():
        return np.zeros_like(solid)
    opened = distance_to(core.view(np.uint8)) <= radius - rim
    inner = opened[top : opened.shape[0] - bottom, left : opened.shape[1] - right]
    return np.ascontiguousarray(inner).view(np.uint8)


def distance_to(mask: Mask) -> npt.NDArray[np.float32]:
    """Return each pixel's Euclidean distance to the nearest pixel of `mask` (Felzenszwalb 2012)."""
    distance = cv2.distanceTransform(1 - mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance, np.float32)
