"""Images at another pixel size, and without repeated rows and columns."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.tiles import row_bands
from mudrock_cli.image.types import Box, PixelSize, Reader

_SAME = 0.01  # share by which pixel sizes may differ and be taken as one


@dataclass(frozen=True)
class _AxisTaps:
    """What each output pixel takes from the input along one axis; shapes (output, taps)."""

    index: npt.NDArray[np.intp]  # input pixels
    weight: npt.NDArray[np.float32]  # a row sums to 1

    @property
    def source(self) -> slice:
        """The input pixels that are needed."""
        if self.index.size == 0:
            return slice(0, 0)
        return slice(int(self.index.min()), int(self.index.max()) + 1)

    def apply(self, block: npt.NDArray[Any], axis: int, first: int) -> npt.NDArray[np.float32]:
        """Resample `block`, whose pixel 0 along `axis` is input pixel `first`."""
        index = self.index - first
        shape = [1] * block.ndim
        shape[axis] = -1
        total = np.take(block, index[:, 0], axis).astype(np.float32)
        total *= self.weight[:, 0].reshape(shape)
        for tap in range(1, index.shape[1]):
            total += np.take(block, index[:, tap], axis) * self.weight[:, tap].reshape(shape)
        return total


def axis_taps(size: int, new_size: int, window: slice, *, labels: bool = False) -> _AxisTaps:
    """Return the taps of a window of the output along one axis.

    A reduction averages over the area of the new pixel, as OpenCV's ``INTER_AREA`` does; an
    enlargement interpolates by Keys' cubic convolution (a = -1/2); labels take the nearest.
    Both grids cover the same length, edge to edge.

    Parameters
    ----------
    size, new_size : int
        Pixels of the whole axis before and after.
    window : slice
        Output pixels wanted.
    labels : bool
        Take the nearest pixel instead.

    References
    ----------
    Keys, R. (1981). Cubic convolution interpolation for digital image processing. IEEE Trans.
    Acoust. Speech Signal Process. 29, 1153-1160.
    """
    start, stop, _ = window.indices(new_size)
    output = np.arange(start, max(start, stop), dtype=np.float64)
    scale = size / new_size
    if labels or size == new_size:
        index = np.floor((output + 0.5) * scale).astype(np.intp)[:, None]
        weight = np.ones(index.shape)
    elif scale > 1:
        low, high = output * scale, (output + 1) * scale
        index = np.floor(low).astype(np.intp)[:, None] + np.arange(math.ceil(scale) + 1)
        weight = np.minimum(index + 1, high[:, None]) - np.maximum(index, low[:, None])
        weight = np.maximum(weight, 0.0) / scale
    else:
        centre = (output + 0.5) * scale - 0.5
        index = np.floor(centre).astype(np.intp)[:, None] + np.arange(-1, 3)
        weight = _keys(np.abs(centre[:, None] - index))
    weight /= weight.sum(axis=1, keepdims=True)
    return _AxisTaps(np.clip(index, 0, size - 1), weight.astype(np.float32))


def resample(
    read: Reader, shape: tuple[int, int], new_shape: tuple[int, int], *, labels: bool = False
) -> Reader:
    """Return a window reader of an image at another number of pixels.

    Parameters
    ----------
    read : callable
        ``read(rows, columns)`` of the image, shape (rows, columns, ...).
    shape, new_shape : tuple of int
        Rows and columns before and after.
    labels : bool
        Take the nearest pixel (for phases); averages and interpolates otherwise.

    Returns
    -------
    callable
        Integers keep their type, rounded and clipped; floats become float32.
    """
    return read if shape == new_shape else _Resampled(read, shape, new_shape, labels)


@dataclass(frozen=True)
class _Resampled:
    """Reads windows of an image at another number of pixels, in other processes too."""

    read: Reader
    shape: tuple[int, int]
    new_shape: tuple[int, int]
    labels: bool

    def __call__(self, rows: slice, columns: slice) -> npt.NDArray[Any]:
        vertical, across = (
            axis_taps(size, new_size, window, labels=self.labels)
            for size, new_size, window in zip(
                self.shape, self.new_shape, (rows, columns), strict=True
            )
        )
        block = self.read(vertical.source, across.source)
        if self.labels:
            chosen_rows = vertical.index[:, 0] - vertical.source.start
            chosen_columns = across.index[:, 0] - across.source.start
            nearest: npt.NDArray[Any] = block[chosen_rows][:, chosen_columns]
            return nearest
        # Gathering columns is the dear part, so it is done where there are fewer rows.
        axes = [(0, vertical), (1, across)]
        blended = block
        for axis, taps in axes if self.new_shape[0] < self.shape[0] else reversed(axes):
            blended = taps.apply(blended, axis, taps.source.start)
        return round_to(blended, block.dtype)


def resample_bands(
    bands: Iterable[npt.NDArray[np.uint8]], shape: tuple[int, int], new_shape: tuple[int, int]
) -> Iterator[npt.NDArray[np.uint8]]:
    """Bring labels to another number of pixels while they come, each from the nearest pixel.

    Parameters
    ----------
    bands : iterable of ndarray of uint8, shape (rows, columns)
        Whole rows from top to bottom.
    shape, new_shape : tuple of int
        Rows and columns before and after.

    Yields
    ------
    ndarray of uint8, shape (rows, columns)
        Whole rows from top to bottom.
    """
    if shape == new_shape:
        yield from bands
        return
    rows, columns = (
        axis_taps(size, new_size, slice(None), labels=True).index[:, 0]
        for size, new_size in zip(shape, new_shape, strict=True)
    )
    done = 0
    for band in bands:
        first, stop = np.searchsorted(rows, (done, done + len(band)))
        yield band[rows[first:stop] - done][:, columns]
        done += len(band)


def round_to(values: npt.NDArray[np.float32], kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """Bring float values to an integer type, rounded and clipped; leave them for a float type."""
    if kind.kind not in "ui":
        return values
    limits = np.iinfo(kind)
    rounded: npt.NDArray[Any] = np.clip(np.floor(values + 0.5), limits.min, limits.max).astype(kind)
    return rounded


def scale_factor(nm: float, new_nm: float) -> float:
    """Return by what a side is scaled from one pixel size to another; 1 where they hardly differ.

    Interpolation costs sharpness, and a hundredth is less than a magnification is known to.
    """
    factor = nm / new_nm
    return 1.0 if abs(factor - 1) <= _SAME else factor


def scaled_shape(shape: tuple[int, int], factor: float) -> tuple[int, int]:
    """Return rows and columns times `factor`, rounded, at least one pixel."""
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def resample_micrograph(micrograph: Micrograph, nm: float) -> Micrograph:
    """Return the same micrograph at another pixel size.

    Parameters
    ----------
    micrograph : Micrograph
        One whose pixel size is known.
    nm : float
        Nanometres per pixel wanted, to a hundredth.

    Returns
    -------
    Micrograph
        Covers the same field; the specimen's box is the largest inside the old one.

    Raises
    ------
    ValueError
        If the pixel size is not known.
    """
    if micrograph.pixel_size is None:
        raise ValueError(f"{micrograph.name} has no pixel size")
    new_shape = scaled_shape(micrograph.shape, scale_factor(micrograph.pixel_size.nm, nm))
    if new_shape == micrograph.shape:
        return micrograph
    return replace(
        micrograph,
        shape=new_shape,
        read=resample(micrograph.read, micrograph.shape, new_shape),
        specimen=micrograph.specimen.scale(micrograph.shape, new_shape),
        pixel_size=PixelSize(nm, f"resampled from {micrograph.pixel_size.nm:g} nm"),
        excluded=None,
    )


def _keys(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Keys' cubic kernel with a = -1/2."""
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


# Images that were enlarged by nearest neighbour, as slides, web pages and viewers do: repeated rows
# and columns tell nothing, and methods that look at single pixels take their steps for outlines.

_LEAST = 0.04  # share of repeated lines along an axis: fewer are chance, or lines that a file lost
_LONGEST = 8  # equal lines in a row: more are a blank margin, not an enlargement
_UNEQUAL = 0.05  # by which the factors of rows and columns may differ: pixels stay square

_Number = TypeVar("_Number", bound=np.generic)
_Indices = npt.NDArray[np.intp]
_Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Deduplicated:
    """A micrograph without repeated rows and columns.

    Parameters
    ----------
    micrograph : Micrograph
        What is left. It is the given one where nothing is repeated.
    rows, columns : ndarray of int, shape (rows,) and (columns,) of the given micrograph
        The row and column of `micrograph` that each one equals.
    """

    micrograph: Micrograph
    rows: _Indices
    columns: _Indices

    @property
    def area_factor(self) -> float:
        """Pixels of the given micrograph for one that is left."""
        return len(self.rows) * len(self.columns) / math.prod(self.micrograph.shape)

    def choose(self, read: Reader) -> Reader:
        """Return a reader of what is left, from a reader of the given pixels.

        Of equal lines it takes the last: seams of a mosaic, and gaps in its labels, spoil the
        first.
        """
        if self.area_factor == 1:
            return read
        last = (np.append(np.diff(index) > 0, True) for index in (self.rows, self.columns))
        return _Chosen(read, *(np.flatnonzero(kept) for kept in last))

    def restore_rows(self, rows: slice) -> slice:
        """Return the rows of the given micrograph that equal some rows of what is left."""
        first, stop = np.searchsorted(self.rows, (rows.start, rows.stop))
        return slice(int(first), int(stop))

    def restore(self, band: npt.NDArray[_Number], rows: slice) -> npt.NDArray[_Number]:
        """Return whole rows of what is left, shape (rows, columns), on the given pixels."""
        if self.area_factor == 1:
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


def deduplicate(micrograph: Micrograph) -> Deduplicated:
    """Leave out the rows and columns of a micrograph that repeat the one before.

    Parameters
    ----------
    micrograph : Micrograph
        Of a usual one only the first rows are read; an enlarged one is read once, in bands.

    Returns
    -------
    Deduplicated
        Its micrograph has larger pixels, if their size is known: the square root of the factors
        of rows and columns times the given ones.
    """
    box = micrograph.specimen
    found = _find_repeats(micrograph)
    if found is None:
        rows, columns = (np.arange(length) for length in micrograph.shape)
        return Deduplicated(micrograph, rows, columns)
    repeated = [np.zeros(length, bool) for length in micrograph.shape]
    repeated[0][box.rows], repeated[1][box.columns], factor = found
    rows, columns = (np.cumsum(~lines) - 1 for lines in repeated)
    left = Box(
        int(rows[box.top]),
        int(columns[box.left]),
        int(rows[box.bottom - 1]) + 1,
        int(columns[box.right - 1]) + 1,
    )
    size = micrograph.pixel_size
    if size:
        size = PixelSize(size.nm * factor, f"{size.nm:g} nm, without repeated rows and columns")
    shape = int(rows[-1]) + 1, int(columns[-1]) + 1
    smaller = replace(
        micrograph, shape=shape, specimen=left, pixel_size=size, reduced=(), excluded=None
    )
    deduplicated = Deduplicated(smaller, rows, columns)
    read = deduplicated.choose(micrograph.read)
    return replace(deduplicated, micrograph=replace(smaller, read=read))


def _find_repeats(micrograph: Micrograph) -> tuple[_Flags, _Flags, float] | None:
    """Find rows and columns of the specimen that repeat the one before; None where few do.

    The third value is by how much the sides of a pixel were enlarged.
    """
    box = micrograph.specimen
    if min(box.shape) < 2:
        return None
    rows, columns = (np.zeros(length, bool) for length in box.shape)
    columns[1:] = True
    before = np.empty((0, box.width), np.uint8)
    for part in row_bands(box):
        grey = micrograph.read(part, box.columns)
        columns[1:] &= (grey[:, 1:] == grey[:, :-1]).all(axis=0)
        if columns.mean() < _LEAST:
            return None
        both = np.concatenate([before, grey])
        stop = part.stop - box.top
        rows[stop - len(both) + 1 : stop] = (both[1:] == both[:-1]).all(axis=1)
        before = grey[-1:]
    blank = [_find_margins(lines) for lines in (rows, columns)]
    kept = [1 - lines[~no].mean() for lines, no in zip((rows, columns), blank, strict=True)]
    if max(kept) > 1 - _LEAST or abs(math.log(kept[0] / kept[1])) > _UNEQUAL:
        return None
    return rows & ~blank[0], columns & ~blank[1], 1 / math.sqrt(kept[0] * kept[1])


def _find_margins(repeated: _Flags) -> _Flags:
    """Return which lines repeat many before them: blank ones, which no enlargement made."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], repeated, [False]]).astype(np.int8)))
    blank = np.zeros_like(repeated)
    for start, stop in edges.reshape(-1, 2):
        blank[start:stop] = stop - start >= _LONGEST
    return blank
