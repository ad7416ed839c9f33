"""Rows that come in bands of any height, and go on in blocks of one, or as many as are wanted."""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

Kind = TypeVar("Kind", bound=np.generic)


class BandCutter:
    """Cut bands into blocks: strips, or rows of tiles or chunks.

    Parameters
    ----------
    height : int
        Rows of the whole image.
    step : int
        Rows of a block; the last block may be lower.
    """

    def __init__(self, height: int, step: int) -> None:
        self._missing, self._step = height, step
        self._waiting: list[npt.NDArray[Any]] = []

    def cut(self, band: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
        """Yield the blocks that the next rows complete; the rest waits, as a copy.

        Parameters
        ----------
        band : ndarray, shape (rows, columns)
            The next rows.
        """
        self._missing -= len(band)
        self._waiting.append(band)
        ready = sum(map(len, self._waiting))
        whole = ready - ready % self._step if self._missing else ready
        if not whole:
            self._waiting[-1] = band.copy()
            return
        rows = np.concatenate(self._waiting)
        self._waiting = [rows[whole:].copy()] if whole < ready else []
        for top in range(0, whole, self._step):
            yield rows[top : min(top + self._step, whole)]


class Rows(Generic[Kind]):
    """An image that comes in bands, taken by as many rows as are wanted.

    Parameters
    ----------
    bands : iterator of ndarray
        Rows from top to bottom, in bands of any height.
    """

    def __init__(self, bands: Iterator[npt.NDArray[Kind]]) -> None:
        self._bands = bands
        self._held: list[npt.NDArray[Kind]] = []

    def take(self, rows: int) -> npt.NDArray[Kind]:
        """Return the next rows, shape (rows, columns, ...)."""
        while sum(map(len, self._held)) < rows:
            self._held.append(next(self._bands))
        block = np.concatenate(self._held) if len(self._held) > 1 else self._held[0]
        self._held = [block[rows:]]
        return block[:rows]
