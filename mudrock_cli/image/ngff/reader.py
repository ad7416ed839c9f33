"""Windows of the levels of an OME-Zarr image: only the chunks that a window touches are decoded."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from mudrock_cli.image.bad_input import refusing
from mudrock_cli.image.ngff.header import ArrayHeader
from mudrock_cli.image.ngff.store import CheckedStore
from mudrock_cli.image.piece_cache import PieceCache
from mudrock_cli.image.window import Box


class ChunkReader:
    """Read windows of an array; usable from several threads.

    Parameters
    ----------
    root : Path
        The store.
    header : ArrayHeader
        The array, checked; its last two axes are rows and columns.
    channel : int or None
        The axis of channels; other axes before the rows have one entry.
    complete : bool
        A missing chunk is an error.

    Raises
    ------
    MudrockError
        If the array cannot be opened.
    """

    def __init__(
        self, root: Path, header: ArrayHeader, channel: int | None, *, complete: bool
    ) -> None:
        self.shape = (header.shape[-2], header.shape[-1])
        self.channels = 1 if channel is None else header.shape[channel]
        self.dtype = np.dtype(np.uint8) if header.dtype == bool else header.dtype.newbyteorder("=")
        self._folder = header.folder
        self._piece = header.piece[-2:]
        leading = len(header.shape) - 2
        self._before: tuple[int | slice, ...] = tuple(
            slice(None) if axis == channel else 0 for axis in range(leading)
        )
        self._cache = PieceCache()
        with refusing(header.folder):
            store = CheckedStore(root, header, complete=complete)
            self._array: Any = zarr.open_array(
                store=store, mode="r", zarr_format=3 if header.zarr_format == 3 else 2
            )

    def __call__(self, rows: slice, columns: slice) -> npt.NDArray[Any]:
        """Return the samples of a window, shape (rows, columns, channels).

        Raises
        ------
        MudrockError
            If a chunk cannot be decoded.
        """
        box = Box.from_slices(rows, columns, self.shape)
        window = np.empty((*box.shape, self.channels), self.dtype)
        if window.size == 0:
            return window
        height, width = self._piece
        for row in range(box.top // height, (box.bottom - 1) // height + 1):
            for column in range(box.left // width, (box.right - 1) // width + 1):
                place = Box(row * height, column * width, (row + 1) * height, (column + 1) * width)
                piece = self._cache.get((row, column), lambda place=place: self._decode(place))  # type: ignore[misc]
                part = box.intersect(place)
                target = part.rows.start - box.top, part.columns.start - box.left
                source = part.top - place.top, part.left - place.left
                window[_span(target[0], part.height), _span(target[1], part.width)] = piece[
                    _span(source[0], part.height), _span(source[1], part.width)
                ]
        return window

    def _decode(self, place: Box) -> npt.NDArray[Any]:
        """Return a decoded chunk, shape (rows, columns, channels); at the edges it is cut."""
        with refusing(self._folder, "the store is broken: copy or export it again"):
            stored = np.asarray(self._array[(*self._before, place.rows, place.columns)])
        if stored.dtype == bool:
            stored = stored.view(np.uint8)
        stored = stored.astype(self.dtype, copy=False)
        return stored[..., None] if stored.ndim == 2 else np.moveaxis(stored, 0, -1)


def _span(start: int, length: int) -> slice:
    return slice(start, start + length)
