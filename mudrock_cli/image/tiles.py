"""Images in parts: overlapping tiles that are blended, bands of rows, stored pieces."""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

import imagecodecs
import numpy as np
import numpy.typing as npt

from mudrock_cli.image.types import Box, Reader


@dataclass(frozen=True)
class TilePlan:
    """Where the tiles of an image lie.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the image.
    tile : int
        Side of a square tile.
    tops, lefts : tuple of int
        First row of each row of tiles, first column of each column of tiles. Tiles may reach over
        the edges, where the image is continued by reflection.
    """

    shape: tuple[int, int]
    tile: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]

    def __len__(self) -> int:
        """Return the number of tiles."""
        return len(self.tops) * len(self.lefts)


def plan_tiles(shape: tuple[int, int], tile: int, overlap: int, margin: int = 0) -> TilePlan:
    """Spread as few tiles as will do evenly over an image.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    tile : int
        Side of a tile.
    overlap : int
        Pixels that neighbours share at least.
    margin : int
        Pixels that tiles reach over each edge of the image at least.

    Raises
    ------
    ValueError
        If the overlap or the margin is not smaller than the tile.
    """
    if not (0 <= overlap < tile and 0 <= margin < tile):
        raise ValueError(f"tiles of {tile} cannot overlap by {overlap} or reach out by {margin}")
    tops, lefts = (_starts(size, tile, overlap, margin) for size in shape)
    return TilePlan(shape, tile, tops, lefts)


def axis_weights(starts: tuple[int, ...], tile: int, size: int) -> npt.NDArray[np.float32]:
    """Return the weight of each tile along an axis: a Hann window, made to sum to 1 everywhere.

    Tiles stand on a grid, so the weight of a pixel is the product of both axes' weights and the
    products sum to 1 too: blending is adding.

    Parameters
    ----------
    starts : tuple of int
        First pixel of each tile.
    tile : int
        Pixels of a tile.
    size : int
        Pixels of the image; weights outside it are 0.

    Returns
    -------
    ndarray of float32, shape (tiles, tile)
    """
    window = np.sin(np.pi * (np.arange(tile) + 0.5) / tile) ** 2
    positions = np.array(starts)[:, None] + np.arange(tile)
    inside = (positions >= 0) & (positions < size)
    total = np.zeros(size)
    np.add.at(total, positions[inside], np.broadcast_to(window, inside.shape)[inside])
    weights = np.zeros(inside.shape)
    weights[inside] = np.broadcast_to(window, inside.shape)[inside] / total[positions[inside]]
    return weights.astype(np.float32)


def read_reflected(
    read: Reader, shape: tuple[int, int], rows: slice, columns: slice
) -> npt.NDArray[Any]:
    """Read a window that may reach beyond the image, continued by reflection at its edges.

    Parameters
    ----------
    read : callable
        ``read(rows, columns)`` of the image.
    shape : tuple of int
        Its rows and columns.
    rows, columns : slice
        Window with explicit ends, which may be negative or beyond the image.
    """
    vertical, across = _reflect(rows, shape[0]), _reflect(columns, shape[1])
    top, left = int(vertical.min()), int(across.min())
    block = read(slice(top, int(vertical.max()) + 1), slice(left, int(across.max()) + 1))
    return block[vertical - top][:, across - left]


def blend_tiles(
    read: Reader,
    plan: TilePlan,
    compute: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
    batch: int = 1,
    part: range | None = None,
) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Compute on overlapping tiles and yield the blended image in bands, top to bottom.

    Holds one row of tiles in memory, whatever the height of the image.

    Parameters
    ----------
    read : callable
        ``read(rows, columns)`` of the image.
    plan : TilePlan
        Where the tiles lie.
    compute : callable
        Takes tiles, shape (n, tile, tile, ...), n <= `batch`, and returns as many, shape
        (n, tile, tile, channels).
    batch : int
        Tiles given to `compute` at once.
    part : range, optional
        Rows of tiles to compute; by default all. The rows of the image that an earlier tile
        reaches into then lack its share.

    Yields
    ------
    rows : slice
        Rows of the image.
    band : ndarray of float32, shape (rows, columns, channels)
    """
    height, width = plan.shape
    vertical = axis_weights(plan.tops, plan.tile, height)
    across = axis_weights(plan.lefts, plan.tile, width)
    carried: npt.NDArray[np.float32] | None = None
    for number in part or range(len(plan.tops)):
        top = plan.tops[number]
        rows = slice(top, top + plan.tile)
        sums = _blend_row(read, plan, rows, across, compute, batch)
        sums *= vertical[number][:, None, None]
        if carried is not None:
            sums[: len(carried)] += carried
        last = number + 1 == len(plan.tops)
        done = top + plan.tile if last else plan.tops[number + 1]
        carried = sums[done - top :].copy()
        if done > 0:  # else the next row of tiles begins in the margin too
            rows = slice(max(top, 0), min(done, height))
            yield rows, sums[rows.start - top : rows.stop - top]


def _blend_row(
    read: Reader,
    plan: TilePlan,
    rows: slice,
    weights: npt.NDArray[np.float32],
    compute: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
    batch: int,
) -> npt.NDArray[np.float32]:
    """Return a row of tiles, blended across, shape (tile, columns, channels)."""
    width = plan.shape[1]
    columns = slice(plan.lefts[0], plan.lefts[-1] + plan.tile)
    strip = read_reflected(read, plan.shape, rows, columns)
    sums: npt.NDArray[np.float32] | None = None
    for first in range(0, len(plan.lefts), batch):
        lefts = plan.lefts[first : first + batch]
        offsets = [left - columns.start for left in lefts]
        tiles = np.stack([strip[:, offset : offset + plan.tile] for offset in offsets])
        for number, (left, result) in enumerate(zip(lefts, compute(tiles), strict=True), first):
            if sums is None:
                sums = np.zeros((plan.tile, width, result.shape[-1]), np.float32)
            low, high = max(left, 0), min(left + plan.tile, width)
            part = slice(low - left, high - left)
            sums[:, low:high] += result[:, part] * weights[number, part, None]
    if sums is None:
        raise ValueError("a plan without tiles")
    return sums


def _starts(size: int, tile: int, overlap: int, margin: int) -> tuple[int, ...]:
    """Return the first pixels of tiles spread evenly from -margin to size + margin."""
    length = size + 2 * margin
    if length <= tile:
        return ((size - tile) // 2,)
    count = math.ceil((length - overlap) / (tile - overlap))
    steps = length - tile
    return tuple(-margin + round(steps * number / (count - 1)) for number in range(count))


def _reflect(window: slice, size: int) -> npt.NDArray[np.intp]:
    """Return image pixels for positions that may lie outside, mirrored at the edge pixels."""
    before, after = max(0, -window.start), max(0, window.stop - size)
    pixels = np.pad(np.arange(size), (before, after), mode="reflect")
    return pixels[window.start + before : window.stop + before]


# Rows that come in bands of any height, and go on in blocks of one, or as many as are wanted.

Kind = TypeVar("Kind", bound=np.generic)


_BAND_PIXELS = 1 << 22


def row_bands(box: Box, pixels: int = _BAND_PIXELS) -> Iterator[slice]:
    """Yield the rows of a box from top to bottom, in bands of about so many pixels.

    Parameters
    ----------
    box : Box
        Of an image.
    pixels : int
        Of a band, which has one row at least.
    """
    step = max(1, pixels // max(1, box.width))
    for top in range(box.top, box.bottom, step):
        yield slice(top, min(top + step, box.bottom))


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


# Windows of an image that is stored in pieces: strips, tiles, chunks.


class PieceReader:
    """Read windows of an image that is stored in pieces; usable from several threads.

    The pieces last used are kept, since bands and overlapping windows ask for each several times.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the image.
    piece : tuple of int
        Rows and columns of a piece; those at the lower and right edge may be smaller.
    channels : int
        Samples per pixel.
    dtype : dtype
        Of a sample.
    decode : callable
        ``decode(row, column)`` of the grid of pieces returns one, shape (rows, columns, channels).
    cache_bytes : int
        Bytes kept; the last piece is kept even where it alone is larger.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        piece: tuple[int, int],
        channels: int,
        dtype: np.dtype[Any],
        decode: Callable[[int, int], npt.NDArray[Any]],
        *,
        cache_bytes: int = 128 << 20,
    ) -> None:
        self.shape, self.channels, self.dtype = shape, channels, dtype
        self._piece, self._decode, self._limit = piece, decode, cache_bytes
        self._kept: OrderedDict[tuple[int, int], npt.NDArray[Any]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __call__(self, rows: slice, columns: slice) -> npt.NDArray[Any]:
        """Return the samples of a window, shape (rows, columns, channels).

        Raises
        ------
        MudrockError
            If a piece cannot be decoded.
        """
        box = Box.from_slices(rows, columns, self.shape)
        window = np.empty((*box.shape, self.channels), self.dtype)
        if window.size == 0:
            return window
        height, width = self._piece
        for row in range(box.top // height, (box.bottom - 1) // height + 1):
            for column in range(box.left // width, (box.right - 1) // width + 1):
                top, left = row * height, column * width
                part = box.intersect(Box(top, left, top + height, left + width))
                piece = self._get(row, column)
                window[
                    part.top - box.top : part.bottom - box.top,
                    part.left - box.left : part.right - box.left,
                ] = piece[part.top - top : part.bottom - top, part.left - left : part.right - left]
        return window

    def _get(self, row: int, column: int) -> npt.NDArray[Any]:
        """Return a piece, decoded only if it is not at hand."""
        with self._lock:
            if (row, column) in self._kept:
                self._kept.move_to_end((row, column))
                return self._kept[row, column]
        piece = self._decode(row, column)
        with self._lock:
            if (row, column) not in self._kept:
                self._kept[row, column] = piece
                self._bytes += piece.nbytes
            while self._bytes > self._limit and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return piece


# Arrays that wait, compressed.

_LEVEL = 1  # of Zstandard: faster than the disk, and phases have long runs


@dataclass(frozen=True)
class Packed:
    """An array, compressed.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    dtype : str
        Of the array.
    bits : bool
        Whether an eighth of a byte per pixel was compressed.
    data : bytes
        The compressed values.
    """

    shape: tuple[int, ...]
    dtype: str
    bits: bool
    data: bytes

    @classmethod
    def pack(cls, array: npt.NDArray[Any], *, bits: bool = False) -> Self:
        """Compress an array.

        Parameters
        ----------
        array : ndarray
            Any array.
        bits : bool
            Its values are 0 and 1 only.
        """
        raw = np.packbits(array) if bits else array
        data = bytes(imagecodecs.zstd_encode(raw.tobytes(), level=_LEVEL))
        return cls(array.shape, array.dtype.str, bits, data)

    def unpack(self) -> npt.NDArray[Any]:
        """Return the array."""
        values = np.frombuffer(imagecodecs.zstd_decode(self.data), np.uint8)
        if self.bits:
            values = np.unpackbits(values, count=int(np.prod(self.shape)))
            return values.astype(self.dtype, copy=False).reshape(self.shape)
        return values.view(self.dtype).reshape(self.shape)
