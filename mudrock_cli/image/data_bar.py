"""Find the data bar: first where the metadata say, then by what the rows look like."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from mudrock_cli.image.pixel_size import is_other_bar
from mudrock_cli.image.types import Box, Facts, Reader

_Floats = npt.NDArray[np.float64]

# In a data bar one grey fills 47-100 % of a row; in a row of specimen 0-2 %, up to 17 % where it
# is saturated (measured on files of four vendors).
_BAR_ROW = 0.4
_EDGE_ROW = 0.8
_MEAN_ROW = 0.55
_CLAIMED_ROW = 0.3
_TALLEST = 0.35
_LOWEST_ROWS = 10
_LETTERING = (0.003, 0.45)
"""Share of a bar's pixels that are lettering."""
_FILLED_COLUMNS = 0.1
_CHUNK = 64
_READ_PIXELS = 1 << 22
_SAMPLED_COLUMNS = 2048
_MARGINS = (0, 4, 10)
"""Levels of 8 bits by which the ground of a bar may scatter, as in what was a JPEG once."""
_SCATTERED_ROWS = 24
"""JPEG scatters the ground in three rows of its blocks where letters stand."""


def find_specimen(
    levels: Reader, shape: tuple[int, int], facts: Iterable[Facts] = (), *, scattered: bool = False
) -> Box:
    """Return the box of the specimen, without the data bar.

    What metadata claim is checked in the picture, since bars get cropped off; a bar that is drawn
    into the picture, as Zeiss does, no metadata tell of.

    Parameters
    ----------
    levels : callable
        ``read(rows, columns)``: one number per pixel, in the file's own range.
    shape : tuple of int
        Rows and columns.
    facts : iterable of Facts
        What the file and its sidecars tell.
    scattered : bool
        Whether levels are those of 8 bits, and the ground of a bar may scatter by a few of them.
    """
    height, width = shape
    found, rows = Box.whole(shape), _Rows(levels, shape)
    for margin in _MARGINS if scattered else _MARGINS[:1]:
        rows.margin = margin
        for told in facts:
            bar = _claimed_rows(told, shape)
            if 0 < bar <= _TALLEST * height:
                claimed = rows.flatness(height - bar, height)[0]
                # What knows no frame may tell of a bar that was rescaled with the image.
                shown = 0 if told.frame else _find_bar(rows, height, upward=True)
                if np.median(claimed) >= _CLAIMED_ROW and not (shown and is_other_bar(bar, shown)):
                    return Box(0, 0, height - bar, width)
        if margin < _MARGINS[-1] or found.height == height:
            bottom = _find_bar(rows, height, upward=True)
            top = 0 if bottom else _find_bar(rows, height, upward=False)
            # Where little scatters, less than the whole bar is of its very grey.
            if height - bottom - top < found.height:
                found = Box(top, 0, height - bottom, width)
    return found


class _Rows:
    """Rows of an image, thinned to what tells a bar from specimen."""

    def __init__(self, levels: Reader, shape: tuple[int, int]) -> None:
        self._levels, self._shape, self.margin = levels, shape, 0
        self._step = max(1, shape[1] // _SAMPLED_COLUMNS)
        self._chunks: dict[tuple[int, int], tuple[npt.NDArray[Any], _Floats]] = {}

    def read(self, top: int, bottom: int) -> npt.NDArray[Any]:
        """Return some columns of rows `top` to `bottom`."""
        height = max(1, _READ_PIXELS // self._shape[1])  # few rows of an image that is mostly wide
        parts = [
            self._levels(slice(first, min(first + height, bottom)), slice(None))[:, :: self._step]
            for first in range(top, bottom, height)
        ]
        return np.concatenate(parts)

    def is_background(self, rows: npt.NDArray[Any], grey: _Floats) -> npt.NDArray[np.bool_]:
        """Return which pixels are of the grey of their row."""
        with np.errstate(invalid="ignore"):  # infinite levels, which reading the grey refuses
            return np.abs(rows - grey[:, None]) <= self.margin

    def flatness(self, top: int, bottom: int) -> tuple[_Floats, _Floats]:
        """Return the share of its most frequent grey in each row, and that grey."""
        shares, greys = [], []
        for first in range(top, bottom, _CHUNK):
            chunk = first, min(first + _CHUNK, bottom)
            if chunk not in self._chunks:
                rows = self.read(*chunk)
                self._chunks[chunk] = rows, np.array([_most_frequent(row) for row in rows])
            rows, grey = self._chunks[chunk]
            shares.append(self.is_background(rows, grey).mean(axis=1))
            greys.append(grey)
        return np.concatenate(shares), np.concatenate(greys)


def _claimed_rows(told: Facts, shape: tuple[int, int]) -> int:
    """Return the rows of the data bar according to one source; 0 when it tells of none."""
    if told.frame is not None and told.pixel is not None:
        scale = shape[1] / told.frame[1]
        return max(0, shape[0] - round(told.frame[0] * scale))
    return told.bar_rows or 0


def _find_bar(rows: _Rows, height: int, *, upward: bool) -> int:
    """Return the rows that a bar at the bottom (`upward`) or top takes; 0 when there is none."""
    limit = int(_TALLEST * height)
    beyond = max(3, height // 100)  # rows of specimen between the bar and the edge
    gap = max(beyond, _SCATTERED_ROWS if rows.margin else 0)  # rows of dense lettering in the bar
    shares: npt.NDArray[np.float64] = np.empty(0)
    while len(shares) < limit:
        done, step = len(shares), min(_CHUNK, limit - len(shares))
        top = height - done - step if upward else done
        chunk = rows.flatness(top, top + step)[0]
        shares = np.concatenate([shares, chunk[::-1] if upward else chunk])
        if (shares[-gap - 1 :] < _BAR_ROW).all():
            break
    else:
        return 0  # so much of one grey is no bar: an empty or a constant image
    flat = np.flatnonzero(shares >= _BAR_ROW)
    steps = np.diff(flat, prepend=-1)
    flat = flat[np.cumsum(steps > gap + 1) == 0]
    if flat.size < _LOWEST_ROWS or flat[0] > beyond:
        return 0
    first, bar = int(flat[0]), int(flat[-1]) + 1
    block = slice(height - bar, height - first) if upward else slice(first, bar)
    return bar if _looks_like_bar(rows, block, upward) else 0


def _looks_like_bar(rows: _Rows, block: slice, upward: bool) -> bool:
    """Return whether a block of flat rows has a bar's sharp edge and its lettering."""
    shares, greys = rows.flatness(block.start, block.stop)
    edge = shares[:3] if upward else shares[-3:]
    if edge.max() < _EDGE_ROW or shares.mean() < _MEAN_ROW:
        return False
    ground = _most_frequent(greys)
    pixels = rows.read(block.start, block.stop)
    letters = ~rows.is_background(pixels, np.full(len(pixels), ground))
    filled = letters.mean(axis=0) > 0.9
    share = letters.mean()
    return bool(_LETTERING[0] <= share <= _LETTERING[1] and filled.mean() <= _FILLED_COLUMNS)


def _most_frequent(values: npt.NDArray[Any]) -> float:
    """Return the most frequent number."""
    if values.dtype == np.uint8:
        return float(np.bincount(values).argmax())
    distinct, counts = np.unique(values, return_counts=True)
    return float(distinct[counts.argmax()])
