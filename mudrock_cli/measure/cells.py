"""Count the phases of a mask in square cells, for intervals and representativeness.

Of a large mask bands are counted, in the pass that finds the objects, and added up.
"""

import math

import numpy as np
import numpy.typing as npt

from mudrock_cli.image.phase import Phase

Counts = npt.NDArray[np.int64]
CellBand = tuple[int, Counts]
"""The first row of cells that a band of pixels touches, and what it counts from there on."""

BLOCKS_ACROSS = 5
"""Blocks along a side: wide enough to be nearly independent, enough of them to draw from."""


def cell_side(shape: tuple[int, int], across: int = 64) -> int:
    """Return the side in pixels of cells of which about `across` span the longer side of a mask.

    Notes
    -----
    At most 1024, because `count_cells` packs three counts in one integer.
    """
    return min(max(1, math.ceil(max(shape) / across)), 1024)


def count_cells(phases: npt.NDArray[np.uint8], side: int) -> Counts:
    """Count the pixels of each phase in square cells.

    Parameters
    ----------
    phases : ndarray of uint8, shape (H, W)
        Values of ``Phase``; VOID is not counted.
    side : int
        Side of a cell in pixels, 1 to 1024. Cells at the right and the lower edge may be smaller.

    Returns
    -------
    ndarray of int64, shape (ceil(H / side), ceil(W / side), 3)
        Pixels of clay, silt and pore.
    """
    if not 1 <= side <= 1024:
        raise ValueError(f"cells of 1 to 1024 pixels can be counted, not {side}")
    # The three counts travel in one integer, 21 bits each: one pass instead of three.
    table = np.zeros(256, np.int64)
    table[[Phase.CLAY, Phase.SILT, Phase.PORE]] = 1, 1 << 21, 1 << 42
    rows, columns = (np.arange(0, length, side) for length in phases.shape)
    packed = np.empty((len(rows), len(columns)), np.int64)
    for index, top in enumerate(rows):
        packed[index] = np.add.reduceat(table[phases[top : top + side]].sum(axis=0), columns)
    return np.stack([packed >> shift & (1 << 21) - 1 for shift in (0, 21, 42)], axis=-1)


def count_band(top: int, phases: npt.NDArray[np.uint8], side: int) -> CellBand:
    """Count the pixels of each phase in a band of whole rows.

    Parameters
    ----------
    top : int
        First row of the band in the mask.
    phases : ndarray of uint8, shape (rows, W)
        The band.
    side : int
        Side of a cell, pixels.

    Returns
    -------
    CellBand
        Counts of shape (R, C, 3): clay, silt and pore.
    """
    seams = range(side - top % side, len(phases), side)
    rows = [count_cells(part, side) for part in np.split(phases, seams)]
    return top // side, np.concatenate(rows)


class CellCounter:
    """Adds up cells that are counted band by band.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the mask.

    Attributes
    ----------
    side : int
        Side of a cell, pixels.
    counts : ndarray of int64, shape (R, C, 3)
        Pixels of clay, silt and pore in every cell.
    small_silt : ndarray of int64, shape (R, C)
        Pixels of the silt in every cell that counts as clay.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.side = cell_side(shape)
        rows, columns = (-(-length // self.side) for length in shape)
        self.counts: Counts = np.zeros((rows, columns, 3), np.int64)
        self.small_silt: Counts = np.zeros((rows, columns), np.int64)

    def add(self, band: CellBand) -> None:
        """Take in a band, from `count_band`."""
        first, counts = band
        self.counts[first : first + len(counts)] += counts

    def add_small_silt(self, band: CellBand) -> None:
        """Take in pixels of silt that counts as clay, of a band."""
        first, counts = band
        self.small_silt[first : first + len(counts)] += counts


def lay_blocks(cells: tuple[int, int], across: int = BLOCKS_ACROSS) -> npt.NDArray[np.intp]:
    """Divide a grid of cells into blocks, nearly square and nearly equal.

    Parameters
    ----------
    cells : tuple of int
        Rows and columns of cells.
    across : int
        The geometric mean of the blocks down and the blocks across.

    Returns
    -------
    ndarray of intp, shape `cells`
        Number of the block of each cell, from 0.
    """
    rows, columns = cells
    down = min(rows, max(1, round(across * math.sqrt(rows / columns))))
    along = min(columns, max(1, round(across * math.sqrt(columns / rows))))
    vertical = np.arange(rows) * down // rows
    horizontal = np.arange(columns) * along // columns
    return vertical[:, None] * along + horizontal[None, :]


def sum_blocks(counts: Counts, blocks: npt.NDArray[np.intp]) -> Counts:
    """Add up cell counts by block.

    Parameters
    ----------
    counts : ndarray of int64, shape (R, C, 3)
        From `count_cells`.
    blocks : ndarray of intp, shape (R, C)
        From `lay_blocks`.

    Returns
    -------
    ndarray of int64, shape (blocks, 3)
    """
    sums = np.zeros((int(blocks.max()) + 1, counts.shape[2]), np.int64)
    np.add.at(sums, blocks.ravel(), counts.reshape(-1, counts.shape[2]))
    return sums


def find_blocks(
    rows: npt.ArrayLike, columns: npt.ArrayLike, blocks: npt.NDArray[np.intp], side: int
) -> npt.NDArray[np.intp]:
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
    down = ((np.asarray(rows, np.float64) + 0.5) // side).astype(np.intp)
    along = ((np.asarray(columns, np.float64) + 0.5) // side).astype(np.intp)
    limits = blocks.shape[0] - 1, blocks.shape[1] - 1
    return blocks[np.clip(down, 0, limits[0]), np.clip(along, 0, limits[1])]
