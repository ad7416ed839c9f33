"""Intervals of porosity, silt fraction and size percentiles.

How to use it: a block has a number over all images, ``image`` says which image it comes from (see
``cells.lay_blocks``). Porosity is ``bootstrap_fraction(pore_pixels, specimen_pixels, image)`` with
sums per block (areas where pixel sizes differ); sizes are ``bootstrap_percentiles(ecd, weight,
block, image)``. Blocks without specimen are left out by themselves.
"""

import numpy as np
import numpy.typing as npt

from mudrock_cli.measure.statistics.grading import weighted_percentiles
from mudrock_cli.measure.statistics.resampling import LEVEL, SEED, Floats, Interval, resample_blocks

_GROUPS = 2048


def bootstrap_fraction(part: npt.ArrayLike, whole: npt.ArrayLike, image: npt.ArrayLike) -> Interval:
    """Return a share of area, such as porosity or silt fraction, with its interval.

    Parameters
    ----------
    part : array_like, shape (B,)
        Area of the phase in each block, pixels or µm².
    whole : array_like, shape (B,)
        Area of the specimen in each block, in the same unit.
    image : array_like of int, shape (B,)
        Image of each block.
    """
    return _resample_fraction(part, whole, image)[0]


def bootstrap_difference(
    first: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike],
    second: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike],
) -> Interval:
    """Return the difference of two shares of area, second less first, with its interval.

    Parameters
    ----------
    first, second : tuple of array_like
        Part, whole and image of each block, as `bootstrap_fraction` takes them; drawn
        independently.
    level : float
        Coverage of the interval.
    """
    base, base_drawn = _resample_fraction(*first)
    other, other_drawn = _resample_fraction(*second, seed=SEED + 1)
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(other_drawn - base_drawn, (tail, 100 - tail))
    return Interval(other.value - base.value, float(low), float(high))


def bootstrap_percentiles(
    values: npt.ArrayLike,
    weights: npt.ArrayLike,
    block: npt.ArrayLike,
    image: npt.ArrayLike,
    percents: tuple[float, ...] = (10, 50, 90),
) -> list[Interval]:
    """Return percentiles of a size distribution with their intervals.

    Parameters
    ----------
    values : array_like, shape (N,)
        A size for each object.
    weights : array_like, shape (N,)
        Ones for percentiles by number, areas for percentiles by area, times the frame weight.
    block : array_like of int, shape (N,)
        Number of the block in which each object lies, 0 to B - 1.
    image : array_like of int, shape (B,)
        Image of each block; only blocks with specimen.
    percents : tuple of float
        0 to 100.

    Notes
    -----
    Above 2048 objects, neighbours in size are taken together, 2048 groups in all, for speed; the
    figure itself is always exact.
    """
    values, weights = (np.asarray(array, np.float64) for array in (values, weights))
    block, image = np.asarray(block, np.intp), np.asarray(image)
    sizes, table = _tabulate(values, weights, block, len(image))

    def percentiles(times: Floats) -> Floats:
        figures: Floats = weighted_percentiles(sizes, times @ table, percents).T
        return figures

    exact = weighted_percentiles(values, weights, percents)
    drawn, _ = resample_blocks(image, percentiles)
    return [
        Interval(float(value), interval.low, interval.high)
        for value, interval in zip(exact, drawn, strict=True)
    ]


def bootstrap_shares(
    values: npt.ArrayLike,
    weights: npt.ArrayLike,
    block: npt.ArrayLike,
    image: npt.ArrayLike,
    limits: npt.ArrayLike,
) -> tuple[Floats, Floats, Floats]:
    """Return a cumulative size distribution with its band.

    Parameters
    ----------
    values, weights, block, image : array_like
        As `bootstrap_percentiles` takes them.
    limits : array_like, shape (K,)
        Sizes, rising, at which the curve is wanted.

    Returns
    -------
    share, low, high : ndarray of float64, shape (K,)
        Share of the weight in objects up to each size, and the limits of its interval; NaN where
        nothing is weighed.
    """
    limits, image = np.asarray(limits, np.float64), np.asarray(image)
    classes = len(limits) + 1
    place = np.searchsorted(limits, np.asarray(values, np.float64))
    flat = np.asarray(block, np.intp) * classes + place
    table = np.bincount(flat, np.asarray(weights, np.float64), minlength=len(image) * classes)
    sums = np.cumsum(table.reshape(len(image), classes), axis=1)

    def share(times: Floats) -> Floats:
        drawn = times @ sums
        with np.errstate(invalid="ignore"):
            shares: Floats = (drawn[:, :-1] / drawn[:, -1:]).T
        return shares

    intervals, _ = resample_blocks(image, share)
    value, low, high = (
        np.array([getattr(each, name) for each in intervals]) for name in ("value", "low", "high")
    )
    return value, low, high


def _resample_fraction(
    part: npt.ArrayLike, whole: npt.ArrayLike, image: npt.ArrayLike, seed: int = SEED
) -> tuple[Interval, Floats]:
    """Return a share of area with its interval, and the share in each draw."""
    part, whole, image = (np.asarray(array) for array in (part, whole, image))
    kept = whole > 0
    sums = np.stack([part[kept], whole[kept]]).astype(np.float64)

    def share(times: Floats) -> Floats:
        above, below = sums @ times.T
        shares: Floats = above / below
        return shares[None]

    intervals, drawn = resample_blocks(image[kept], share, seed=seed)
    return intervals[0], drawn[0]


def _tabulate(
    values: Floats, weights: Floats, block: npt.NDArray[np.intp], blocks: int
) -> tuple[Floats, Floats]:
    """Return at most ``_GROUPS`` sizes in order, and the weight of each in each block."""
    order = np.argsort(values, kind="stable")
    number = max(len(values), 1)
    groups = min(number, _GROUPS)
    if groups == len(values):
        place = np.arange(number)
    else:
        # Half by number, half by weight: a heavy object, on which a tail hangs, stays alone.
        rank = np.cumsum(weights[order]) / weights.sum() + np.arange(1, number + 1) / number
        place = np.minimum((rank * groups / 2).astype(np.intp), groups - 1)
    group = np.empty(len(values), np.intp)
    group[order] = place[: len(values)]
    flat = block * groups + group
    table = np.bincount(flat, weights, minlength=blocks * groups).astype(np.float64)
    share = np.bincount(group, minlength=groups)
    sizes = np.bincount(group, values, minlength=groups) / np.maximum(share, 1)
    return sizes, table.reshape(blocks, groups)
