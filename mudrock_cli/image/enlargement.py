"""Pictures enlarged by nearest neighbour: rows and columns that repeat the one before.

Slides, web pages and viewers enlarge so. The copies tell nothing, and methods that look at single
pixels take the steps for outlines. What is left without them is the picture as it was; a result on
it goes back to the file's pixels by the same copying.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.pixel_size import PixelSize
from mudrock_cli.image.window import Box, Reader

_LEAST = 0.04  # share of copies along an axis: fewer are chance, or lines that a file lost
_LONGEST = 8  # equal lines in a row: more are a blank margin, not an enlargement
_UNEQUAL = 0.05  # by which the factors of rows and columns may differ: pixels stay square
_BAND_PIXELS = 1 << 22

_Number = TypeVar("_Number", bound=np.generic)
_Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Distinct:
    """A micrograph without copied rows and columns.

    Parameters
    ----------
    micrograph : Micrograph
        What is left. It is the given one where nothing was copied.
    rows, columns : ndarray of int, shape (rows,) and (columns,) of the given micrograph
        The row and column of `micrograph` that each one equals.
    """

    micrograph: Micrograph
    rows: _Indices
    columns: _Indices

    @property
    def copies(self) -> float:
        """Pixels of the given micrograph for one that is left."""
        return len(self.rows) * len(self.columns) / math.prod(self.micrograph.shape)

    def choose(self, read: Reader) -> Reader:
        """Return a reader of what is left, from a reader of the given pixels.

        Of equal lines it takes the last: seams of a mosaic, and gaps in its labels, spoil the
        first.
        """
        if self.copies == 1:
            return read
        last = (np.append(np.diff(index) > 0, True) for index in (self.rows, self.columns))
        return _Chosen(read, *(np.flatnonzero(kept) for kept in last))

    def restore_rows(self, rows: slice) -> slice:
        """Return the rows of the given micrograph that equal some rows of what is left."""
        first, stop = np.searchsorted(self.rows, (rows.start, rows.stop))
        return slice(int(first), int(stop))

    def restore(self, band: npt.NDArray[_Number], rows: slice) -> npt.NDArray[_Number]:
        """Return whole rows of what is left, shape (rows, columns), on the given pixels."""
        if self.copies == 1:
            return band
        chosen = self.rows[self.restore_rows(rows)] - rows.start
        whole: npt.NDArray[_Number] = band[chosen][:, self.columns]
        return whole


@dataclass(frozen=True)
class _Chosen:
    """Reads chosen rows and columns of a micrograph."""

    read: Reader
    rows: _Indices
    columns: _Indices

    def __call__(self, rows: slice, columns: slice) -> npt.NDArray[Any]:
        chosen = self.rows[rows], self.columns[columns]
        windows = [slice(int(i[0]), int(i[-1]) + 1) if i.size else slice(0, 0) for i in chosen]
        window = self.read(*windows)
        return window[chosen[0] - windows[0].start][:, chosen[1] - windows[1].start]


def undo_enlargement(micrograph: Micrograph) -> Distinct:
    """Leave out the rows and columns of a micrograph that repeat the one before.

    Parameters
    ----------
    micrograph : Micrograph
        Of a usual one only the first rows are read; an enlarged one is read once, in bands.

    Returns
    -------
    Distinct
        Its micrograph has larger pixels, if their size is known: the square root of the factors
        of rows and columns times the given ones.
    """
    box = micrograph.specimen
    found = _find_copies(micrograph)
    if found is None:
        rows, columns = (np.arange(length) for length in micrograph.shape)
        return Distinct(micrograph, rows, columns)
    copied = [np.zeros(length, bool) for length in micrograph.shape]
    for axis, part in enumerate((box.rows, box.columns)):
        copied[axis][part] = found.lines[axis]
    rows, columns = (np.cumsum(~copies) - 1 for copies in copied)
    left = Box(
        int(rows[box.top]),
        int(columns[box.left]),
        int(rows[box.bottom - 1]) + 1,
        int(columns[box.right - 1]) + 1,
    )
    size = micrograph.pixel_size
    if size:
        size = PixelSize(size.nm * found.factor, f"{size.nm:g} nm, without copied rows and columns")
    shape = int(rows[-1]) + 1, int(columns[-1]) + 1
    smaller = replace(micrograph, shape=shape, specimen=left, pixel_size=size, reduced=())
    distinct = Distinct(smaller, rows, columns)
    read = distinct.choose(micrograph.read)
    return replace(distinct, micrograph=replace(smaller, read=read))


@dataclass(frozen=True)
class _Copies:
    """Which rows and columns of a specimen are copies, and by what its sides were enlarged."""

    lines: tuple[npt.NDArray[np.bool_], ...]
    factor: float


def _find_copies(micrograph: Micrograph) -> _Copies | None:
    """Find rows and columns of the specimen that repeat the one before; None where few do."""
    box = micrograph.specimen
    if min(box.shape) < 2:
        return None
    rows, columns = (np.zeros(length, bool) for length in box.shape)
    columns[1:] = True
    before = np.empty((0, box.width), np.uint8)
    for part in _bands(box):
        grey = micrograph.read(part, box.columns)
        columns[1:] &= (grey[:, 1:] == grey[:, :-1]).all(axis=0)
        if columns.mean() < _LEAST:
            return None
        both = np.concatenate([before, grey])
        stop = part.stop - box.top
        rows[stop - len(both) + 1 : stop] = (both[1:] == both[:-1]).all(axis=1)
        before = grey[-1:]
    left = [
        np.count_nonzero(~copies) / len(copies) for copies in map(_cut_margins, (rows, columns))
    ]
    if max(left) > 1 - _LEAST or abs(math.log(left[0] / left[1])) > _UNEQUAL:
        return None
    lines = tuple(copies & ~_find_margins(copies) for copies in (rows, columns))
    return _Copies(lines, 1 / math.sqrt(left[0] * left[1]))


def _bands(box: Box) -> Iterator[slice]:
    step = max(1, _BAND_PIXELS // box.width)
    for top in range(box.top, box.bottom, step):
        yield slice(top, min(top + step, box.bottom))


def _find_margins(copies: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which lines repeat many before them: blank ones, which no enlargement made."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], copies, [False]]).astype(np.int8)))
    blank = np.zeros_like(copies)
    for start, stop in edges.reshape(-1, 2):
        blank[start:stop] = stop - start >= _LONGEST
    return blank


def _cut_margins(copies: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    return copies[~_find_margins(copies)]
