"""Sizes: correction for the frame, weighted percentiles, phi, Folk and Ward, classes, resolution.

Everything takes weights, so one function serves "by number" (weight 1, or the frame weight) and
"by area" (the area, or the area times the frame weight). A large grain is more often cut by the
frame than a small one, so leaving out what touches the frame (a cut grain has no size) makes the
rest too fine; `frame_weights` weigh every grain that is left by the inverse of its chance of being
whole in the frame.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mudrock_cli.measure.shapes import Floats
from mudrock_cli.measure.window import Window

LEAST_EFFECTIVE = 30.0
"""Fewer effective objects than this: percentiles are unstable."""

LARGEST_SHARE = 0.1
"""One object with more than this share of the total weight: the result hangs on it."""

LEAST_PIXELS = 9
"""Pixels of the smallest object that counts as resolved (3 x 3)."""

SIZE_CLASSES: tuple[tuple[str, float], ...] = (
    ("clay", 0.0),
    ("very fine silt", 3.90625),
    ("fine silt", 7.8125),
    ("medium silt", 15.625),
    ("coarse silt", 31.25),
    ("sand", 62.5),
)
"""Name and lower limit in µm of each class (Wentworth 1922): 62.5 µm halved four times."""

CLAY_LIMITS: dict[str, float] = {"iso": 2.0, "wentworth": 3.90625}
"""Where clay ends, µm: ISO 14688-1 (and Bihani et al. 2022) or Wentworth (1922)."""

PORE_CLASSES: dict[str, tuple[tuple[str, float], ...]] = {
    "iupac": (("micropore", 0.0), ("mesopore", 2e-3), ("macropore", 50e-3)),
    "loucks": (
        ("picopore", 0.0),
        ("nanopore", 1e-3),
        ("micropore", 1.0),
        ("mesopore", 62.5),
        ("macropore", 4e3),
    ),
}
"""Name and least width in µm of classes of pores: Thommes et al. (2015); Loucks et al. (2012)."""


@dataclass(frozen=True)
class FrameCorrection:
    """How far a frame correction carries.

    Parameters
    ----------
    counted : int
        Objects that lie whole in the frame.
    corrected_number : float
        Estimated number of objects that belong to the frame, the sum of the weights.
    effective_number : float
        Kish's effective number of objects, at most `counted`.
    largest_weight : float
        Largest single weight; NaN where no object is whole.
    unstable : bool
        True where fewer than ``LEAST_EFFECTIVE`` effective objects are left, or where one object
        has more than ``LARGEST_SHARE`` of the weight.
    """

    counted: int
    corrected_number: float
    effective_number: float
    largest_weight: float
    unstable: bool


def frame_weights(
    heights: npt.ArrayLike, widths: npt.ArrayLike, touches: npt.ArrayLike, window: Window
) -> Floats:
    """Return the Miles-Lantuéjoul weight of each object.

    Parameters
    ----------
    heights, widths : array_like, shape (N,)
        Vertical and horizontal Feret diameter, in the unit of `window`.
    touches : array_like of bool, shape (N,)
        True for objects that touch the frame.
    window : Window
        The specimen.

    Returns
    -------
    ndarray of float64, shape (N,)
        The inverse of `Window.inclusion` (1 or more); 0 for objects that touch the frame.
    """
    chance = window.inclusion(heights, widths)
    whole = ~np.asarray(touches, bool) & (chance > 0)
    return np.divide(1.0, chance, out=np.zeros_like(chance), where=whole)


def effective_number(weights: npt.ArrayLike) -> float:
    """Return the effective sample size ``(sum w)² / sum w²`` (Kish 1965); 0 for no weight."""
    weights = np.asarray(weights, np.float64)
    squares = float(np.sum(weights**2))
    return float(np.sum(weights)) ** 2 / squares if squares else 0.0


def describe_weights(weights: npt.ArrayLike) -> FrameCorrection:
    """Say how many objects carry a corrected figure, and whether it is stable.

    Parameters
    ----------
    weights : array_like, shape (N,)
        From `frame_weights`, of one image or of several together.
    """
    weights = np.asarray(weights, np.float64)
    counted = int(np.count_nonzero(weights))
    total = float(weights.sum())
    largest = float(weights.max()) if counted else math.nan
    effective = effective_number(weights)
    return FrameCorrection(
        counted=counted,
        corrected_number=total,
        effective_number=effective,
        largest_weight=largest,
        unstable=effective < LEAST_EFFECTIVE or largest / total > LARGEST_SHARE,
    )


def weighted_percentiles(
    values: npt.ArrayLike, weights: npt.ArrayLike, percents: npt.ArrayLike
) -> Floats:
    """Return percentiles of weighted values.

    Parameters
    ----------
    values : array_like, shape (N,)
        In any order.
    weights : array_like, shape (N,)
        Zero or more each.
    percents : array_like, shape (P,)
        0 to 100.

    Returns
    -------
    ndarray of float64, shape (P,)
        NaN where the weights are all zero.

    Notes
    -----
    A value stands at the middle of its own step of the cumulative curve, and the curve is
    straight between the values. With equal weights this is ``numpy.percentile(method="hazen")``
    (Hyndman and Fan 1996, type 5).
    """
    values, weights = (np.asarray(array, np.float64) for array in (values, weights))
    order = np.lexsort((weights, values))  # equal values in one order, however a mask is turned
    order = order[weights[order] > 0]
    values, weights = values[order], weights[order]
    if not len(order):
        return np.full(len(np.atleast_1d(percents)), np.nan)
    middle = np.cumsum(weights) - weights / 2
    wanted = np.asarray(percents, np.float64) / 100 * weights.sum()
    found: Floats = np.interp(wanted, middle, values)
    return found


@dataclass(frozen=True)
class FolkWard:
    """Graphic statistics of a grain-size distribution, in phi units.

    Parameters
    ----------
    mean : float
        Graphic mean, phi.
    sorting : float
        Inclusive graphic standard deviation, phi.
    skewness : float
        Inclusive graphic skewness, -1 to 1; positive = a tail of fine grains.
    kurtosis : float
        Graphic kurtosis, 1 for a normal distribution.
    """

    mean: float
    sorting: float
    skewness: float
    kurtosis: float


def to_phi(diameter_um: npt.ArrayLike) -> Floats:
    """Return the phi size ``-log2(d / 1 mm)`` of diameters in micrometres (Krumbein 1934)."""
    return -np.log2(np.asarray(diameter_um, np.float64) / 1e3)


def grade(diameter_um: npt.ArrayLike, weights: npt.ArrayLike) -> FolkWard:
    """Return Folk and Ward's graphic statistics.

    Parameters
    ----------
    diameter_um : array_like, shape (N,)
        Diameters in µm, positive.
    weights : array_like, shape (N,)
        Areas for statistics by area, ones for statistics by number; times the frame weight where
        wanted.

    Notes
    -----
    Folk and Ward (1957), J. Sediment. Petrol. 27: 3-26. phi percentiles run from coarse to fine.
    NaN where nothing is weighed, and skewness and kurtosis where all grains are of one size.
    """
    p5, p16, p25, p50, p75, p84, p95 = map(
        float, weighted_percentiles(to_phi(diameter_um), weights, (5, 16, 25, 50, 75, 84, 95))
    )
    spread, tails, middle = p84 - p16, p95 - p5, p75 - p25
    skewness = kurtosis = math.nan
    if spread > 0 and tails > 0 and middle > 0:
        skewness = (p16 + p84 - 2 * p50) / (2 * spread) + (p5 + p95 - 2 * p50) / (2 * tails)
        kurtosis = tails / (2.44 * middle)
    return FolkWard((p16 + p50 + p84) / 3, spread / 4 + tails / 6.6, skewness, kurtosis)


def name_sorting(sorting: float) -> str:
    """Return Folk and Ward's word for a sorting in phi units."""
    limits = (0.35, 0.5, 1.0, 2.0, 4.0)
    words = (
        "very well sorted",
        "well sorted",
        "moderately sorted",
        "poorly sorted",
        "very poorly sorted",
        "extremely poorly sorted",
    )
    return "not defined" if math.isnan(sorting) else words[int(np.searchsorted(limits, sorting))]


def classify_size(
    diameter_um: npt.ArrayLike, clay_limit: str = "wentworth"
) -> npt.NDArray[np.uint8]:
    """Return the index in ``SIZE_CLASSES`` of each diameter.

    Parameters
    ----------
    diameter_um : array_like, shape (N,)
        Diameters in µm.
    clay_limit : {"wentworth", "iso"}
        Where clay ends: at 3.9 or at 2 µm. With "iso", very fine silt runs from 2 to 7.8 µm.

    Returns
    -------
    ndarray of uint8, shape (N,)
        A size on a limit belongs to the coarser class.
    """
    limits = np.array([limit for _, limit in SIZE_CLASSES[1:]])
    limits[0] = CLAY_LIMITS[clay_limit]
    return np.searchsorted(limits, np.asarray(diameter_um, np.float64), side="right").astype(
        np.uint8
    )


def classify_pores(width_um: npt.ArrayLike, scheme: str) -> npt.NDArray[np.uint8]:
    """Return the index in ``PORE_CLASSES`` of each pore width.

    Parameters
    ----------
    width_um : array_like, shape (N,)
        Widths in µm, the least Feret diameters: IUPAC's width is the distance of opposite walls.
    scheme : {"iupac", "loucks"}
        By IUPAC (2 and 50 nm) or by Loucks et al. (2012).

    Returns
    -------
    ndarray of uint8, shape (N,)
        A width on a limit belongs to the wider class, but 50 nm to IUPAC's mesopores.
    """
    limits = [limit for _, limit in PORE_CLASSES[scheme][1:]]
    index = np.searchsorted(limits, np.asarray(width_um, np.float64), side="right")
    if scheme == "iupac":
        index -= np.asarray(width_um) == limits[-1]
    return index.astype(np.uint8)


def resolvable_diameter(pixel_um: float) -> float:
    """Return the diameter in µm of the circle with the area of the smallest resolved object."""
    return pixel_um * math.sqrt(4 * LEAST_PIXELS / math.pi)


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
    diameter, area = np.asarray(diameter_um, np.float64), np.asarray(area_um2, np.float64)
    total = float(area.sum())
    near = float(area[diameter <= 2 * resolvable_diameter(pixel_um)].sum())
    return near / total if total else math.nan


def bin_sizes(diameter_um: npt.ArrayLike, area_um2: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return the size distribution by number and by area in ten classes per factor of ten.

    Parameters
    ----------
    diameter_um : array_like, shape (N,)
        Equivalent-circle diameters, µm, positive; at least one.
    area_um2 : array_like, shape (N,)
        Areas, µm².

    Returns
    -------
    edges : ndarray of float64, shape (K + 1,)
        Limits of the classes, µm: whole powers of 10^0.1, so that histograms of different images
        have the same classes.
    number, area : ndarray of float64, shape (K,)
        Share of all objects, and of their area, in each class; each sums to 1.
    """
    diameter, area = np.asarray(diameter_um, np.float64), np.asarray(area_um2, np.float64)
    place = np.floor(np.log10(diameter) * 10 + 1e-9).astype(np.int64)
    first, classes = int(place.min()), int(np.ptp(place)) + 1
    edges = 10.0 ** (np.arange(first, first + classes + 1) / 10)
    number, by_area = (
        np.bincount(place - first, weight, minlength=classes) / weight.sum()
        for weight in (np.ones_like(diameter), area)
    )
    return edges, number, by_area
