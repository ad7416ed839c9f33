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
