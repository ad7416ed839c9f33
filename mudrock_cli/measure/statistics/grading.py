"""Grain-size statistics: weighted percentiles, the phi scale, Folk and Ward, size classes.

Everything takes weights, so one function serves "by number" (weight 1, or the frame weight) and
"by area" (the area, or the area times the frame weight).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

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


def weighted_percentiles(
    values: npt.ArrayLike, weights: npt.ArrayLike, percents: npt.ArrayLike
) -> Floats:
    """Return percentiles of weighted values.

    Parameters
    ----------
    values : array_like, shape (N,)
        In any order.
    weights : array_like, shape (N,) or (B, N)
        Zero or more each; with two dimensions every row is a weighting of its own.
    percents : array_like, shape (P,)
        0 to 100.

    Returns
    -------
    ndarray of float64, shape (P,) or (B, P)
        NaN where the weights are all zero.

    Notes
    -----
    A value stands at the middle of its own step of the cumulative curve, and the curve is
    straight between the values. With equal weights this is ``numpy.percentile(method="hazen")``
    (Hyndman and Fan 1996, type 5).
    """
    values = np.asarray(values, np.float64)
    table = np.atleast_2d(np.asarray(weights, np.float64))
    order = np.argsort(values, kind="stable")
    values = values[order]
    wanted = np.asarray(percents, np.float64) / 100
    result = np.full((len(table), len(wanted)), np.nan)
    for row, weight in enumerate(table):
        weight = weight[order]
        kept = weight > 0
        if kept.any():
            weight = weight[kept]
            middle = np.cumsum(weight) - weight / 2
            result[row] = np.interp(wanted * weight.sum(), middle, values[kept])
    return result if np.ndim(weights) == 2 else result[0]


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
    p5, p16, p25, p50, p75, p84, p95 = weighted_percentiles(
        to_phi(diameter_um), weights, (5, 16, 25, 50, 75, 84, 95)
    )
    spread, tails, middle = p84 - p16, p95 - p5, p75 - p25
    even = not (spread > 0 and tails > 0 and middle > 0)
    skewness = (
        np.nan
        if even
        else (p16 + p84 - 2 * p50) / (2 * spread) + (p5 + p95 - 2 * p50) / (2 * tails)
    )
    return FolkWard(
        mean=float((p16 + p50 + p84) / 3),
        sorting=float(spread / 4 + tails / 6.6),
        skewness=float(skewness),
        kurtosis=float("nan") if even else float(tails / (2.44 * middle)),
    )


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
    return "not defined" if np.isnan(sorting) else words[int(np.searchsorted(limits, sorting))]


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
