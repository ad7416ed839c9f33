"""Exact phases brought to the habits of hand-corrected labels, for a network that learns from both.

The labels of Bihani et al. (2022) come from an image-processing workflow that looks for smooth and
for dark regions: silt ends some 0.15 µm inside the visible outline, is opened by a disc and takes
in the pits and cracks of its grain; a pore with a bright floor is clay. Exact truth does none of
that, and `Phantom.phases` stays exact.
"""

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.image.phase import Phase
from mudrock_cli.phantom.geometry import MIN_SILT_UM

RIM_UM = 0.15
"""Distance between silt labels and the nearest pore: first percentiles on three micrographs are
0.12, 0.14 and 0.16 µm, medians 0.18 to 0.21 µm."""
_OPENING_UM = 0.08
_PIT_UM2 = 0.12  # the largest hole that is swallowed


def label_like_workflow(
    phases: npt.NDArray[np.uint8],
    grey: npt.NDArray[np.uint8],
    pixel_nm: float,
    *,
    pore_level: float,
    rim_um: float = RIM_UM,
) -> npt.NDArray[np.uint8]:
    """Redraw silt and pores as the workflow does.

    Silt loses its pits, retreats from its rim and is opened by a disc; pores keep what is dark.

    Parameters
    ----------
    phases : ndarray of uint8, shape (H, W)
        Exact phases.
    grey : ndarray of uint8, shape (H, W)
        The picture.
    pixel_nm : float
        Nanometres per pixel.
    pore_level : float
        Grey from which on a pore is taken for clay.
    rim_um : float
        Width of the rim of silt that turns to clay, micrometres.

    Returns
    -------
    ndarray of uint8, shape (H, W)
    """
    per_um = 1e3 / pixel_nm
    grains = (phases == Phase.SILT).astype(np.uint8)
    silt = grains | _small_inside(1 - grains, _PIT_UM2 * per_um**2)
    opening = _OPENING_UM * per_um
    core = _distance(silt) > rim_um * per_um + opening
    opened = (_distance((~core).astype(np.uint8)) <= opening) & (silt > 0)
    opened &= ~_small_inside(opened.astype(np.uint8), np.pi / 4 * (MIN_SILT_UM * per_um) ** 2)
    dark = cv2.GaussianBlur(grey, (0, 0), 0.7) < pore_level
    labels = np.where((phases == Phase.PORE) & dark, np.uint8(Phase.PORE), np.uint8(Phase.CLAY))
    labels[silt > 0] = Phase.CLAY
    labels[opened] = Phase.SILT
    return np.asarray(labels, np.uint8)


def _small_inside(region: npt.NDArray[np.uint8], limit: float) -> npt.NDArray[np.bool_]:
    """Pieces of a region that are smaller than `limit` pixels and do not touch the border."""
    _, label, stats, _ = cv2.connectedComponentsWithStats(region, connectivity=4)
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right = left + stats[:, cv2.CC_STAT_WIDTH]
    bottom = top + stats[:, cv2.CC_STAT_HEIGHT]
    inside = (left > 0) & (top > 0) & (right < region.shape[1]) & (bottom < region.shape[0])
    small = stats[:, cv2.CC_STAT_AREA] < limit
    small[0] = False  # what is outside the region
    return np.asarray((small & inside)[label])


def _distance(region: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Distance of every pixel of `region` to its outside, pixels; the border is no outside."""
    return np.asarray(cv2.distanceTransform(region, cv2.DIST_L2, 5), np.float32)
