"""95 % intervals of fractions and sizes, and whether a field is even.

Objects and pixels of one field resemble each other, and the fields of a rock differ by more than
chance: only several fields can speak for the rock. So the unit of every interval for a rock is the
field, from two on. What one field gives is an interval for this field only: within which its
fraction would lie if its objects had fallen otherwise. Nothing is drawn at random, so the same
masks always give the same interval. ``tests/benchmarks/statistics`` simulates what they cover.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mudrock_cli.measure.sizes import effective_number, weighted_percentiles

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

LEVEL = 0.95
"""Coverage of all intervals."""

FIELDS_DIFFER = 0.35
"""Standard deviation of the logit of a fraction between fields of a rock, taken for granted as much
as one degree of freedom weighs, where only two fields can tell it."""

LEAST_BEYOND = 10.0
"""Effective number of objects that a percentile needs on either side to be given an interval."""

LIMIT = 0.1
"""A representative window varies by less than this share of the mean."""

_LEAST_COVER = 0.95
_LEAST_DISJOINT = 4.0

UNEVEN_P = 0.01
"""A field is called uneven where chance makes its blocks differ as much less often than this."""


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % interval.

    Parameters
    ----------
    value : float
        The figure.
    low, high : float
        Limits; NaN where the data do not carry an interval.
    """

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class _Logit:
    """A fraction with the standard error and degrees of freedom of its logit."""

    value: float
    error: float
    freedom: float

    def limits(self, freedom: float | None = None) -> tuple[float, float]:
        """Return the limits of the interval, which are never below 0 nor above 1."""
        from scipy.special import expit

        if not 0 < self.value < 1 or math.isnan(self.error):
            return math.nan, math.nan
        reach = _student(freedom or self.freedom) * self.error
        centre = math.log(self.value / (1 - self.value))
        return float(expit(centre - reach)), float(expit(centre + reach))


def _student(freedom: float) -> float:
    """Return how many standard errors an interval reaches to either side."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + LEVEL) / 2))


def rock_fraction(part: npt.ArrayLike, whole: npt.ArrayLike, chance: npt.ArrayLike) -> Interval:
    """Return the fraction of a phase in the rock from several fields, with its interval.

    Parameters
    ----------
    part, whole : array_like, shape (n,)
        Area of the phase and of the specimen in each field.
    chance : array_like, shape (n,)
        Variance of `part` by the random places of objects alone: the sum of their squared areas.

    Returns
    -------
    Interval
        Limits are NaN for fewer than two fields, and for 0 and 1.

    Notes
    -----
    Ratio of sums; its variance from the residuals ``part - fraction whole`` of the fields (Cochran
    1977, Sampling Techniques, 6.3), taken to the logit, and Student's t with n - 1 degrees of
    freedom. For two fields the variance is averaged with one degree of freedom of what is expected
    (`FIELDS_DIFFER` and `chance`), for t with one degree alone would say nothing.
    """
    found = _rock_logit(*(np.asarray(each, np.float64) for each in (part, whole, chance)))
    return Interval(found.value, *found.limits())


def _rock_logit(part: Floats, whole: Floats, chance: Floats) -> _Logit:
    number, total = len(part), float(whole.sum())
    value = float(part.sum()) / total if total else math.nan
    if number < 2 or not 0 < value < 1:
        return _Logit(value, math.nan, math.nan)
    slope = value * (1 - value) * total
    variance = number / (number - 1) * float(np.sum((part - value * whole) ** 2)) / slope**2
    if number > 2:
        return _Logit(value, math.sqrt(variance), number - 1)
    # Kish: fields of unequal size count for fewer than two.
    expected = FIELDS_DIFFER**2 * float(np.sum(whole**2)) / total**2 + chance.sum() / slope**2
    return _Logit(value, math.sqrt((variance + expected) / 2), 2)


def rock_difference(
    first: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike],
    second: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike],
) -> Interval:
    """Return the difference of the fractions of two rocks, second less first, with its interval.

    Parameters
    ----------
    first, second : tuple of array_like
        Part, whole and chance of each field, as `rock_fraction` takes them.

    Notes
    -----
    Limits of both fractions with Welch's degrees of freedom, put together by the method of variance
    estimates recovery (Newcombe 1998, doi 10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>
    3.0.CO;2-I). NaN where a group has one field only, or a fraction of 0 or 1.
    """
    one, other = (
        _rock_logit(*(np.asarray(each, np.float64) for each in group)) for group in (first, second)
    )
    value = other.value - one.value
    squares = [group.error**2 for group in (one, other)]
    if math.isnan(sum(squares)):
        return Interval(value)
    shares = sum(
        square**2 / group.freedom for square, group in zip(squares, (one, other), strict=True)
    )
    freedom = sum(squares) ** 2 / shares if shares else one.freedom + other.freedom
    low, high = one.limits(freedom)
    other_low, other_high = other.limits(freedom)
    return Interval(
        value,
        value - math.hypot(other.value - other_low, high - one.value),
        value + math.hypot(other_high - other.value, one.value - low),
    )


def field_fraction(part: npt.ArrayLike, whole: npt.ArrayLike, chance: float) -> Interval:
    """Return the fraction of a phase in one field, with the interval within this field.

    Parameters
    ----------
    part, whole : array_like, shape (B,)
        Area of the phase and of the specimen in each block of the field.
    chance : float
        Variance of the whole `part` by the random places of objects alone.

    Notes
    -----
    The variance is the larger of two: that between blocks, which misses grains as large as blocks,
    and that of objects thrown at random, which misses their clusters (Stoyan, Kendall and Mecke
    1995, Stochastic Geometry, 5.1, variance of a marked Poisson field). Taken to the logit, with
    Student's t and the blocks less one.
    """
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    blocks, total = len(part), float(whole.sum())
    value = float(part.sum()) / total if total else math.nan
    if blocks < 2 or not 0 < value < 1:
        return Interval(value)
    between = blocks / (blocks - 1) * float(np.sum((part - value * whole) ** 2))
    error = math.sqrt(max(between, chance)) / (value * (1 - value) * total)
    return Interval(value, *_Logit(value, error, blocks - 1).limits())


def is_uneven(
    part: npt.ArrayLike,
    whole: npt.ArrayLike,
    chance: float,
    strips: Sequence[npt.ArrayLike] = (),
) -> bool:
    """Tell whether a phase varies over a field by more than objects at random places do.

    Parameters
    ----------
    part, whole : array_like, shape (B,)
        Area of the phase and of the specimen in each block of the field.
    chance : float
        Variance of the whole `part` by the random places of objects alone.
    strips : sequence of array_like of int, shape (B,)
        Strips of the field in which each block lies, across and along: beds show in their sums
        where single blocks hold too few grains.

    Notes
    -----
    Variance between blocks, and between the strips of each direction, over `chance`, against chi²
    with their number less one; each at `UNEVEN_P`.
    """
    from scipy.special import chdtrc

    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    if not (chance > 0 and whole.sum() > 0):
        return False
    apart = part - part.sum() / whole.sum() * whole
    for unit in (np.arange(len(part)), *strips):
        sums = np.bincount(np.asarray(unit, np.intp), apart)
        freedom = len(np.unique(unit)) - 1
        statistic = (freedom + 1) * float(np.sum(sums**2)) / chance
        if freedom and chdtrc(freedom, statistic) < UNEVEN_P:
            return True
    return False


def unseen_fraction(areas: npt.ArrayLike, diameter: float) -> float:
    """Return the largest fraction of a phase of which fields may show no object at all.

    Parameters
    ----------
    areas : array_like, shape (n,)
        Area of the specimen in each field, µm².
    diameter : float
        Diameter of the objects, µm: smaller ones would have been seen more surely.

    Returns
    -------
    float
        Upper limit of the one-sided 95 % interval, at most 1.

    Notes
    -----
    The rule of three: of objects at random places none is seen with a chance of 5 % where three
    (-ln 0.05) were to be expected. A square field of side a meets the discs whose centres lie in
    ``a² + 2 a d + pi d² / 4`` (Miles-Lantuéjoul; Chiu et al. 2013, Stochastic Geometry, 6.3).
    """
    area = np.asarray(areas, np.float64)
    disc = math.pi / 4 * diameter**2
    reach = float(np.sum(area + 2 * np.sqrt(area) * diameter + disc))
    return min(1.0, -math.log(1 - LEVEL) * disc / reach) if reach else math.nan


def interval_percentiles(
    values: npt.ArrayLike,
    weights: npt.ArrayLike,
    unit: npt.ArrayLike,
    units: int,
    percents: tuple[float, ...] = (10, 50, 90),
) -> list[Interval]:
    """Return percentiles of a size distribution, with intervals where enough objects carry them.

    Parameters
    ----------
    values : array_like, shape (N,)
        A size for each object.
    weights : array_like, shape (N,)
        Frame weights for percentiles by number, times the areas for percentiles by area.
    unit : array_like of int, shape (N,)
        Field in which each object lies, or block of a single field, 0 to `units` - 1.
    units : int
        Number of fields, or of blocks.
    percents : tuple of float
        0 to 100.

    Returns
    -------
    list of Interval
        Limits are NaN where fewer than `LEAST_BEYOND` effective objects (Kish) lie on either side
        of the percentile, or for fewer than two units.

    Notes
    -----
    The share of the weight below the percentile varies between units; the sizes at the ends of its
    interval (logit, t with the units less one) are the limits (Woodruff 1952, doi
    10.1080/01621459.1952.10483443).
    """
    values, weights = (np.asarray(array, np.float64) for array in (values, weights))
    unit = np.asarray(unit, np.intp)
    kept = weights > 0
    values, weights, unit = values[kept], weights[kept], unit[kept]
    found = weighted_percentiles(values, weights, percents)
    intervals = []
    for percent, value in zip(percents, found, strict=True):
        share, below = percent / 100, values <= value
        sides = effective_number(weights[below]), effective_number(weights[~below])
        if units < 2 or min(sides) < LEAST_BEYOND:
            intervals.append(Interval(float(value)))
            continue
        apart = np.bincount(unit, weights * (below - share), minlength=units)
        variance = units / (units - 1) * float(np.sum(apart**2)) / float(weights.sum()) ** 2
        error = math.sqrt(variance) / (share * (1 - share))
        ends = np.array(_Logit(share, error, units - 1).limits())
        low, high = weighted_percentiles(values, weights, 100 * ends)
        intervals.append(Interval(float(value), float(low), float(high)))
    return intervals


def interval_shares(
    values: npt.ArrayLike,
    weights: npt.ArrayLike,
    block: npt.ArrayLike,
    image: npt.ArrayLike,
    limits: npt.ArrayLike,
) -> tuple[Floats, Floats, Floats]:
    """Return a cumulative size distribution with its pointwise band.

    Parameters
    ----------
    values, weights : array_like, shape (N,)
        As `interval_percentiles` takes them.
    block : array_like of int, shape (N,)
        Block in which each object lies, 0 to B - 1.
    image : array_like of int, shape (B,)
        Field of each block; of a single field the blocks are the units, else the fields.
    limits : array_like, shape (K,)
        Sizes, rising, at which the curve is wanted.

    Returns
    -------
    share, low, high : ndarray of float64, shape (K,)
        Share of the weight in objects up to each size, and the limits of its interval, which for
        a single field is within this field; NaN where nothing is weighed.

    Notes
    -----
    Ratio of sums over units with Student's t, kept between 0 and 1.
    """
    limits, weights = np.asarray(limits, np.float64), np.asarray(weights, np.float64)
    fields, field = np.unique(np.asarray(image), return_inverse=True)
    unit_of_block = field if len(fields) > 1 else np.arange(len(field))
    units, classes = int(unit_of_block.max(initial=-1)) + 1, len(limits) + 1
    place = np.searchsorted(limits, np.asarray(values, np.float64))
    flat = unit_of_block[np.asarray(block, np.intp)] * classes + place
    table = np.bincount(flat, weights, minlength=units * classes).reshape(units, classes)
    below, total = np.cumsum(table, axis=1)[:, :-1], table.sum(axis=1)
    if not total.sum() > 0:
        nothing = np.full(len(limits), np.nan)
        return nothing, nothing, nothing
    share = below.sum(axis=0) / total.sum()
    if units < 2:
        return share, np.full_like(share, np.nan), np.full_like(share, np.nan)
    apart = np.sum((below - share * total[:, None]) ** 2, axis=0)
    reach = _student(units - 1) * np.sqrt(units / (units - 1) * apart) / total.sum()
    return share, np.clip(share - reach, 0, 1), np.clip(share + reach, 0, 1)


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
    size : float or None
        Smallest side from which on the variation stays under `LIMIT`; None = not reached in this
        field.
    """

    sides: Floats
    mean: Floats
    variation: Floats
    size: float | None


def vary_window(counts: npt.NDArray[np.int64], phase: int, side: float) -> Representativeness:
    """Return how the share of one phase varies with the size of a square window.

    Parameters
    ----------
    counts : ndarray of int64, shape (R, C, 3)
        Pixels of clay, silt and pore per cell, from `cells.count_cells`.
    phase : int
        0 clay, 1 silt, 2 pore.
    side : float
        Side of a cell, in µm (or pixels; the result is in the same unit).

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
    found: list[tuple[float, float, float]] = []
    for width in _widths(min(rows, columns)):
        area = _slide(whole, width)
        kept = area >= _LEAST_COVER * full * width**2
        disjoint = field / width**2
        if disjoint < _LEAST_DISJOINT or not kept.any():
            break
        shares = _slide(part, width)[kept] / area[kept]
        mean = float(shares.mean())
        spread = float(np.sqrt(shares.var() * disjoint / (disjoint - 1)))
        found.append((width * side, mean, spread / mean if mean else np.nan))
    sides, means, variation = np.array(found, np.float64).reshape(-1, 3).T
    above = np.flatnonzero(~(variation < LIMIT))
    first = int(above[-1]) + 1 if len(above) else 0
    size = float(sides[first]) if first < len(sides) else None
    return Representativeness(sides, means, variation, size)


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
