"""Bands of rows whose windows overlap."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mudrock_cli.classical.contrast import Grey
from mudrock_cli.image.micrograph import Micrograph

Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True)
class Band:
    """Rows of a specimen, and the rows around them that have a say in what they become.

    Parameters
    ----------
    rows : slice
        The rows, counted from the top of the specimen.
    window : slice
        The rows that are read.
    """

    rows: slice
    window: slice

    def read(self, micrograph: Micrograph) -> Grey:
        """Read the window, uint8, shape (rows, columns of the specimen)."""
        return micrograph.read_specimen()(self.window, slice(None))

    def cut(self, array: npt.NDArray[Value]) -> npt.NDArray[Value]:
        """Return the band's own rows of what was computed on its window."""
        return array[self.rows.start - self.window.start : self.rows.stop - self.window.start]

    def sides(self, height: int) -> tuple[bool, bool, bool, bool]:
        """Return whether the window ends with the specimen at its top, bottom, left, right."""
        return self.window.start == 0, self.window.stop == height, True, True


def plan_bands(shape: tuple[int, int], halo: int, align: int, pixels: int) -> list[Band]:
    """Cover an image with bands whose windows begin at multiples of `align`.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    halo : int
        Rows to read above and below at least.
    align : int
        Grid of the coarsest level.
    pixels : int
        Pixels of a band, roughly.
    """
    height, width = shape
    step = max(pixels // width // align, 1) * align
    margin = -(-halo // align) * align
    return [
        Band(
            slice(top, min(top + step, height)),
            slice(max(top - margin, 0), min(top + step + margin, height)),
        )
        for top in range(0, height, step)
    ]
