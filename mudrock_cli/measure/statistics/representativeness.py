"""Is one field enough? The spread of porosity and silt fraction against the size of the window.

Square windows of growing side are laid over the cell counts of ``cells.count_cells`` at every
cell; the share of a phase in each window varies less the larger the window. Where the variation
falls under ten percent of the mean, a window of that side represents the field; where it does
not, the field is too small to say, and that is the answer.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
