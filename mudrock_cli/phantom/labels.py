"""Exact phases brought to the habits of hand-corrected labels, for a network that learns from both.

The labels of Bihani et al. (2022) come from an image-processing workflow that looks for smooth
regions: silt ends some 0.15 µm inside the visible outline, is opened by a disc, and swallows the pits
and cracks inside a grain. Exact truth does none of that; `Phantom.phases` stays exact.
"""

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.image.phase import Phase

RIM_UM = 0.15
"""Distance between silt labels and the nearest pore: first percentiles on three micrographs are
0.12, 0.14 and 0.16 µm, medians 0.18 to 0.21 µm."""
_OPENING_UM = 0.08
_PIT_UM2 = 0.12  # the largest hole that is swallowed


def label_like_workflow(
    phases: npt.NDArray[np.uint8], pixel_nm: float, rim_um: float = RIM_UM
) -> npt.NDArray[np.uint8]:
    """Redraw silt as the workflow does: without pits, retreated from its rim, opened by a disc.

    Parameters
    ----------
    phases : ndarray of uint8, shape (H, W)
        Exact phases.
    pixel_nm : float
        Nanometres per pixel.
    rim_um : float
        Width of the rim that turns to clay, micrometres.

    Returns
    -------
    ndarray of uint8, shape (H, W)
    """
    per_um = 1e3 / pixel_nm
    silt = _fill_pits((phases == Phase.SILT).astype(np.uint8), _PIT_UM2 * per_um**2)
    opening = _OPENING_UM * per_um
    core = _distance(silt) > rim_um * per_um + opening
    opened = _distance((~core).astype(np.uint8)) <= opening
    labels = np.where(silt > 0, np.uint8(Phase.CLAY), phases)
    labels[opened & (silt > 0)] = Phase.SILT
    return np.asarray(labels, np.uint8)


def _fill_pits(silt: npt.NDArray[np.uint8], largest: float) -> npt.NDArray[np.uint8]:
    """Fill what is not silt and smaller than `largest` pixels, wherever silt encloses it."""
    _, label, stats, _ = cv2.connectedComponentsWithStats(1 - silt, connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] < largest
    small[0] = True  # the background of this labelling is silt itself
    height, width = silt.shape
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right = left + stats[:, cv2.CC_STAT_WIDTH]
    bottom = top + stats[:, cv2.CC_STAT_HEIGHT]
    inside = (left > 0) & (top > 0) & (right < width) & (bottom < height)
    inside[0] = True
    return np.asarray((small & inside)[label], np.uint8)


def _distance(region: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Distance of every pixel of `region` to its outside, pixels; the border is no outside."""
    return np.asarray(cv2.distanceTransform(region, cv2.DIST_L2, 5), np.float32)
