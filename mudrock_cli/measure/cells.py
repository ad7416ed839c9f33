"""Count the phases of a mask in square cells, for intervals and representativeness.

Of a large mask bands are counted, in the pass that finds the objects, and added up. Cells are put
together to blocks, about 25 an image, which are nearly independent of each other.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mudrock_cli.image.types import Phase
from mudrock_cli.measure.shapes import Bools, Floats, Ints, Runs

Counts = npt.NDArray[np.int64]
Blocks = npt.NDArray[np.intp]
CellBand = tuple[int, Counts]
"""The first row of cells that a band of pixels touches, and what it counts from there on."""

BLOCKS_ACROSS = 5
"""Blocks along a side of a square field (of another the geometric mean of both): wide enough to be
nearly independent, enough of them for a variance."""


def cell_side(shape: tuple[int, int]) -> int:
    """Return the side in pixels of cells of which about 64 span the longer side of a mask.

    Notes
    -----
    At most 1024: in a large mosaic there are more cells, not larger ones.
    """
    return min(max(1, math.ceil(max(shape) / 64)), 1024)


def count_cells(phases: npt.NDArray[np.uint8], side: int) -> Counts:
    """Count the pixels of each phase in square cells of a mask, as `count_band` does."""
    return count_band(Runs.find(phases), len(phases), 0, side)[1]


def count_band(runs: Runs, rows: int, top: int, side: int) -> CellBand:
    """Count the pixels of each phase in a band of whole rows; VOID is not counted.

    Parameters
    ----------
    runs : Runs
        Those of the band.
    rows : int
        Rows of the band.
    top : int
        First row of the band in the mask.
    side : int
        Side of a cell, pixels. Cells at the right and the lower edge may be smaller.

    Returns
    -------
    CellBand
        Counts of shape (R, C, 3): clay, silt and pore.
    """
    first, end = top // side, (top + rows - 1) // side + 1
    heights = np.diff(np.clip(np.arange(first, end + 1) * side, top, top + rows))
    widths = np.diff(np.minimum(np.arange(-(-runs.width // side) + 1) * side, runs.width))
    run, column, pixels = split_runs(runs, side)
    row = (top + runs.row[run]) // side - first
    layer = np.minimum(runs.phase[run], 3).astype(np.int64)  # VOID last
    place = (layer * len(heights) + row) * len(widths) + column
    # Sums of whole numbers below 2**53 are exact in floating point too.
    sums = np.bincount(place, pixels, 4 * len(heights) * len(widths)).astype(np.int64)
    counts = sums.reshape(4, len(heights), len(widths))
    counts[Phase.CLAY] = heights[:, None] * widths - counts.sum(axis=0)
    return first, np.ascontiguousarray(np.moveaxis(counts[:3], 0, -1))


def split_runs(runs: Runs, side: int) -> tuple[Ints, Ints, Ints]:
    """Cut runs where cells begin.

    Returns
    -------
    run, column, pixels : ndarray of int64, shape (M,)
        The run of each part, the column of cells in which it lies, and its length.
    """
    first = runs.start // side
    parts = (runs.end - 1) // side + 1 - first
    run = np.repeat(np.arange(len(runs)), parts)
    column = np.arange(len(run)) + np.repeat(first - np.cumsum(parts) + parts, parts)
    begin = np.maximum(runs.start[run], column * side)
    return run, column, np.minimum(runs.end[run], (column + 1) * side) - begin


class CellCounter:
    """Adds up cells that are counted band by band.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the mask.
    is_small : callable
        ``is_small(area)`` tells which silt regions, whole of so many pixels, count as clay: a
        region that does not is larger than all that do. Importable by name.

    Attributes
    ----------
    side : int
        Side of a cell, pixels.
    counts : ndarray of int64, shape (R, C, 3)
        Pixels of clay, silt and pore in every cell.
    small_silt : ndarray of int64, shape (R, C)
        Pixels of the silt in every cell that counts as clay.
    """

    def __init__(self, shape: tuple[int, int], is_small: Callable[[Ints | Floats], Bools]) -> None:
        self.side, self.is_small = cell_side(shape), is_small
        rows, columns = (-(-length // self.side) for length in shape)
        self.counts: Counts = np.zeros((rows, columns, 3), np.int64)
        self.small_silt: Counts = np.zeros((rows, columns), np.int64)

    def add(self, band: CellBand) -> None:
        """Take in a band, from `count_band`."""
        first, counts = band
        self.counts[first : first + len(counts)] += counts

    def add_small_silt(self, cell: Ints, pixels: Ints) -> None:
        """Take in pixels of silt that counts as clay, of cells by their number in raster order."""
        np.add.at(self.small_silt.ravel(), cell, pixels)

    def count_by_rule(self) -> Counts:
        """Return the counts with small silt counted as the clay that it counts as."""
        counts = self.counts.copy()
        counts[..., Phase.SILT] -= self.small_silt
        counts[..., Phase.CLAY] += self.small_silt
        return counts


def lay_blocks(cells: tuple[int, int]) -> Blocks:
    """Divide a grid of cells into blocks, nearly square and nearly equal.

    Parameters
    ----------
    cells : tuple of int
        Rows and columns of cells.

    Returns
    -------
    ndarray of intp, shape `cells`
        Number of the block of each cell, from 0.
    """
    rows, columns = cells
    down = min(rows, max(1, round(BLOCKS_ACROSS * math.sqrt(rows / columns))))
    along = min(columns, max(1, round(BLOCKS_ACROSS * math.sqrt(columns / rows))))
    vertical, horizontal = np.arange(rows) * down // rows, np.arange(columns) * along // columns
    return vertical[:, None] * along + horizontal


def sum_blocks(counts: Counts, blocks: Blocks) -> Counts:
    """Add up counts of cells, shape (R, C, K), by block; returns shape (blocks, K)."""
    sums = np.zeros((int(blocks.max()) + 1, counts.shape[2]), np.int64)
    np.add.at(sums, blocks.ravel(), counts.reshape(-1, counts.shape[2]))
    return sums


def find_blocks(rows: npt.ArrayLike, columns: npt.ArrayLike, blocks: Blocks, side: int) -> Blocks:
    """Return the block in which each point lies.

    Parameters
    ----------
    rows, columns : array_like, shape (N,)
        Positions in pixels, pixel centres at whole numbers.
    blocks : ndarray of intp, shape (R, C)
        From `lay_blocks`.
    side : int
        Side of a cell in pixels.
    """
    down, along = (
        np.clip((np.asarray(places, np.float64) + 0.5) // side, 0, length - 1).astype(np.intp)
        for places, length in zip((rows, columns), blocks.shape, strict=True)
    )
    return blocks[down, along]
