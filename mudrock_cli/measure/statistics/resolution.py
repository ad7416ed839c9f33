"""How much of the pore area stands close to the smallest pore that can be resolved.

An object of fewer than nine pixels is taken as unresolved. ``share_near_limit`` goes into the
summary and into the warnings of a report; ``bin_sizes`` makes the histograms in which the limit
is drawn.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEAST_PIXELS = 9
"""Pixels of the smallest object that counts as resolved (3 x 3)."""


@dataclass(frozen=True)
class SizeHistogram:
    """A size distribution in classes of equal width on a log axis.

    Parameters
    ----------
    edges : ndarray of float64, shape (K + 1,)
        Limits of the classes, µm.
    number, area : ndarray of float64, shape (K,)
        Share of all objects, and of their area, in each class; each sums to 1 (0 where there is
        no object).
    """

    edges: npt.NDArray[np.float64]
    number: npt.NDArray[np.float64]
    area: npt.NDArray[np.float64]


def resolvable_diameter(pixel_um: float, least_pixels: int = LEAST_PIXELS) -> float:
    """Return the diameter in µm of the circle with the area of the smallest resolved object."""
    return pixel_um * math.sqrt(4 * least_pixels / math.pi)


def share_near_limit(diameter_um: npt.ArrayLike, area_um2: npt.ArrayLike, pixel_um: float) -> float:
    """Return the share of area in objects within twice the smallest resolvable diameter.

    Parameters
    ----------
    diameter_um : array_like, shape (N,)
        Equivalent-circle diameters, µm.
    area_um2 : array_like, shape (N,)
        Areas, µm².
    pixel_um : float
        Side of a pixel, µm.

    Returns
    -------
    float
        0 to 1; NaN where there is no object. A large share means that a finer pixel would find
        more.
    """
    diameter = np.asarray(diameter_um, np.float64)
    area = np.asarray(area_um2, np.float64)
    total = float(area.sum())
    near = float(area[diameter <= 2 * resolvable_diameter(pixel_um)].sum())
    return near / total if total else float("nan")


def bin_sizes(
    diameter_um: npt.ArrayLike,
    area_um2: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    per_decade: int = 10,
) -> SizeHistogram:
    """Return the size distribution by number and by area in log classes.

    Parameters
    ----------
    diameter_um : array_like, shape (N,)
        Equivalent-circle diameters, µm, positive.
    area_um2 : array_like, shape (N,)
        Areas, µm².
    weights : array_like, shape (N,), optional
        Frame weights; ones where None.
    per_decade : int
        Classes per factor of ten. Limits are whole powers of ``10 ** (1 / per_decade)`` µm, so
        that histograms of different images have the same classes.
    """
    diameter = np.asarray(diameter_um, np.float64)
    number = np.ones_like(diameter) if weights is None else np.asarray(weights, np.float64)
    area = np.asarray(area_um2, np.float64) * number
    if not len(diameter):
        return SizeHistogram(np.array([1.0, 10.0 ** (1 / per_decade)]), np.zeros(1), np.zeros(1))
    place = np.floor(np.log10(diameter) * per_decade + 1e-9).astype(np.int64)
    first, classes = int(place.min()), int(np.ptp(place)) + 1
    edges = 10.0 ** (np.arange(first, first + classes + 1) / per_decade)
    shares = [
        np.bincount(place - first, weight, minlength=classes) / (weight.sum() or 1.0)
        for weight in (number, area)
    ]
    return SizeHistogram(edges, *shares)
