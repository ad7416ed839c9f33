"""Runs: the unbroken stretches of one phase in a row, the bricks of every object."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Runs:
    """Horizontal runs of pixels that are not clay, in raster order.

    Parameters
    ----------
    row : ndarray of int64, shape (N,)
        Row of each run.
    start, end : ndarray of int64, shape (N,)
        First column of each run and the column after its last.
    phase : ndarray of uint8, shape (N,)
        The value that all pixels of the run have.
    width : int
        Columns of the image.
    """

    row: Ints
    start: Ints
    end: Ints
    phase: npt.NDArray[np.uint8]
    width: int

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, index: slice) -> Self:
        parts = self.row[index], self.start[index], self.end[index], self.phase[index]
        return type(self)(*parts, self.width)

    @classmethod
    def find(cls, phases: npt.NDArray[np.uint8]) -> Self:
        """Cut an image into runs.

        Parameters
        ----------
        phases : ndarray of uint8, shape (H, W)
            A phase mask; zeros (clay) are background.
        """
        height, width = phases.shape
        # One column of background after each row keeps runs within their row.
        padded = np.zeros((height, width + 1), np.uint8)
        padded[:, :width] = phases
        flat = padded.ravel()
        cuts = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        edges = np.concatenate([[0], cuts, [flat.size]])
        value = flat[edges[:-1]]
        filled = value != 0
        first, last = edges[:-1][filled], edges[1:][filled]
        row = first // (width + 1)
        left = row * (width + 1)
        return cls(row, first - left, last - left, value[filled], width)

    def find_neighbours(self) -> tuple[Ints, Ints]:
        """Find runs of adjacent rows that touch, by a side or by a corner.

        Returns
        -------
        upper, lower : ndarray of int64, shape (M,)
            Indices of touching runs, `lower` one row below `upper`; of any two phases.
        """
        # In a raster with one column between rows, touching is closeness of positions.
        pitch = self.width + 1
        first, last = self.row * pitch + self.start, self.row * pitch + self.end
        begin = np.searchsorted(last, first - pitch, side="left")
        stop = np.searchsorted(first, last - pitch, side="right")
        count = stop - begin
        lower = np.repeat(np.arange(len(self)), count)
        skipped = np.cumsum(count) - count
        upper = np.arange(len(lower)) + np.repeat(begin - skipped, count)
        return upper, lower

    def find_abutting(self) -> Ints:
        """Find runs that end where the next run of the same row begins.

        Returns
        -------
        ndarray of int64, shape (M,)
            Indices i such that run i touches run i + 1 by one pixel side.
        """
        same_row = self.row[1:] == self.row[:-1]
        return np.flatnonzero(same_row & (self.end[:-1] == self.start[1:]))
