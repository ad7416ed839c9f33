"""Draw blocks and images again and again: the bootstrap behind every interval.

Objects and pixels of one field resemble each other, so resampling them promises far more than one
field can say. Here blocks are drawn (about 25 an image, see ``cells.lay_blocks``), and, where there
are several images, first the images and then blocks within each image drawn (a two-stage cluster
bootstrap; Davison and Hinkley 1997, 3.8). The seed is fixed, so the same masks always give the same
interval.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mudrock_cli.measure.sizes import weighted_percentiles

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""Takes how often each block is drawn, shape (R, B); returns shape (K, R)."""

LEVEL = 0.95
RESAMPLES = 999
SEED = 20260101


@dataclass(frozen=True)
class Interval:
    """A figure and its bootstrap percentile interval.

    Parameters
    ----------
    value : float
        The figure from all blocks.
    low, high : float
        Limits of the interval; NaN where there are fewer than two blocks to draw from, or so few
        objects that a draw may hold none.
    """

    value: float
    low: float
    high: float


def resample_blocks(
    image: npt.ArrayLike,
    statistic: Statistic,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[list[Interval], Floats]:
    """Return the bootstrap intervals of figures that can be had from block multiplicities.

    Parameters
    ----------
    image : array_like of int, shape (B,)
        Image of each block.
    statistic : callable
        Takes how often each block is drawn, float64, shape (R, B), and returns K figures, shape
        (K, R).
    level : float
        Coverage of the interval.
    resamples : int
        How many times blocks are drawn.
    seed : int
        Start of the random numbers.

    Returns
    -------
    intervals : list of Interval
        One for each of the K figures.
    drawn : ndarray of float64, shape (K, resamples)
        The figures of each draw; NaN where there are fewer than two blocks.

    Notes
    -----
    The percentile method (Efron and Tibshirani 1993, 13.3) over the blocks of one image, or over
    the images where there are several; draw for draw what ``scipy.stats.bootstrap`` gives, whose
    import takes longer than all draws.
    """
    images, member = np.unique(np.asarray(image), return_inverse=True)
    blocks = len(member)
    values = statistic(np.ones((1, blocks)))[:, 0]
    several = len(images) > 1
    units = len(images) if several else blocks
    if units < 2:
        return (
            [Interval(float(value), np.nan, np.nan) for value in values],
            np.full((len(values), resamples), np.nan),
        )
    rng = np.random.default_rng(seed)
    times = _count_draws(rng.integers(units, size=(resamples, units)), units)
    if several:
        members = [np.flatnonzero(member == index) for index in range(len(images))]
        times = _draw_within(times, members, rng)
    drawn = statistic(times.astype(np.float64))
    # Of a figure that one draw cannot give, because it holds no object, the limits are NaN.
    limits = np.percentile(drawn, [50 * (1 - level), 50 * (1 + level)], axis=1)
    intervals = [Interval(*map(float, each)) for each in zip(values, *limits, strict=True)]
    return intervals, drawn


def _count_draws(indices: npt.NDArray[np.intp], units: int) -> npt.NDArray[np.int64]:
    """Turn drawn units, shape (R, n), into how often each was drawn, shape (R, units)."""
    flat = indices + units * np.arange(len(indices))[:, None]
    return np.bincount(flat.ravel(), minlength=units * len(indices)).reshape(-1, units)


def _draw_within(
    times: npt.NDArray[np.int64], members: list[npt.NDArray[np.intp]], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draw blocks within images that were drawn `times` (R, images); return shape (R, B)."""
    drawn = np.zeros((len(times), sum(len(own) for own in members)), np.int64)
    for column, own in enumerate(members):
        even = np.full(len(own), 1 / len(own))
        drawn[:, own] = rng.multinomial(times[:, column] * len(own), even)
    return drawn


# Intervals of porosity, silt fraction and size percentiles.
#
# How to use it: a block has a number over all images, ``image`` says which image it comes from (see
# ``cells.lay_blocks``). Porosity is ``bootstrap_fraction(pore_pixels, specimen_pixels, image)``
# with
# sums per block (areas where pixel sizes differ); sizes are ``bootstrap_percentiles(ecd, weight,
# block, image)``. Blocks without specimen are left out by themselves.

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


# Is one field enough? The spread of porosity and silt fraction against the size of the window.
#
# Square windows of growing side are laid over the cell counts of ``cells.count_cells`` at every
# cell; the share of a phase in each window varies less the larger the window. Where the variation
# falls under ten percent of the mean, a window of that side represents the field; where it does
# not, the field is too small to say, and that is the answer.

LIMIT = 0.1
"""A representative window varies by less than this share of the mean."""

_LEAST_COVER = 0.95
_LEAST_DISJOINT = 4.0


@dataclass(frozen=True)
class Representativeness:
    """The spread of a phase's share against the window side.

    Parameters
    ----------
    sides : ndarray of float64, shape (K,)
        Side of the window, in the unit of `side` given to `vary_window`.
    mean, variation : ndarray of float64, shape (K,)
        Mean share of the phase over the windows, and the standard deviation as a share of that
        mean.
    windows : ndarray of int64, shape (K,)
        How many windows fit side by side.
    size : float or None
        Smallest side from which on the variation stays under the limit; None = not reached in
        this field.
    """

    sides: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]
    variation: npt.NDArray[np.float64]
    windows: npt.NDArray[np.int64]
    size: float | None


def vary_window(
    counts: npt.NDArray[np.int64], phase: int, side: float, limit: float = LIMIT
) -> Representativeness:
    """Return how the share of one phase varies with the size of a square window.

    Parameters
    ----------
    counts : ndarray of int64, shape (R, C, 3)
        Pixels of clay, silt and pore per cell, from ``cells.count_cells``.
    phase : int
        0 clay, 1 silt, 2 pore.
    side : float
        Side of a cell, in µm (or pixels; the result is in the same unit).
    limit : float
        Largest spread, as a share of the mean, of a representative window.

    Notes
    -----
    Windows with less than 95 % specimen are left out. The variance between windows of one field
    misses what varies between fields: with ``n`` windows' worth of area in the field it is too
    small by ``(n - 1) / n``, which is made good here. Windows go up to a quarter of the field's
    area (four windows side by side). Kanit et al. (2003), Int. J. Solids Struct. 40: 3647-3679
    (representative volume from the variance of windows).
    """
    rows, columns = counts.shape[:2]
    part = _integrate(counts[..., phase])
    whole = _integrate(counts.sum(axis=2))
    full = float(counts.sum(axis=2).max(initial=0))
    field = whole[-1, -1] / full if full else 0.0
    found: list[tuple[float, float, float, int]] = []
    for width in _widths(min(rows, columns)):
        area = _slide(whole, width)
        kept = area >= _LEAST_COVER * full * width**2
        disjoint = field / width**2
        if disjoint < _LEAST_DISJOINT or not kept.any():
            break
        shares = _slide(part, width)[kept] / area[kept]
        mean = float(shares.mean())
        spread = float(np.sqrt(shares.var() * disjoint / (disjoint - 1)))
        found.append((width * side, mean, spread / mean if mean else np.nan, int(disjoint)))
    table = np.array(found, np.float64).reshape(-1, 4).T
    return Representativeness(
        table[0], table[1], table[2], table[3].astype(np.int64), _settle(table[0], table[2], limit)
    )


def _widths(longest: int) -> npt.NDArray[np.intp]:
    """Return window sides in cells, growing by about a fifth."""
    steps = np.round(np.geomspace(1, max(longest, 1), 1 + int(np.log(max(longest, 1)) / 0.18)))
    return np.unique(steps.astype(np.intp))


def _integrate(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the integral image, with a row and a column of zeros before it."""
    return np.pad(counts, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)


def _slide(integral: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.int64]:
    """Return the sum in every window of `width` cells."""
    low, high = slice(None, -width), slice(width, None)
    return integral[high, high] - integral[low, high] - integral[high, low] + integral[low, low]


def _settle(
    sides: npt.NDArray[np.float64], variation: npt.NDArray[np.float64], limit: float
) -> float | None:
    """Return the first side from which on the variation stays under the limit."""
    above = np.flatnonzero(~(variation < limit))
    first = int(above[-1]) + 1 if len(above) else 0
    return float(sides[first]) if first < len(sides) else None
