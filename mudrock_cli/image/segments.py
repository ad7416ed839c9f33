"""Windows of a TIFF page: only the strips or tiles that a window touches are decoded."""

import math
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from tifffile import TiffPage

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.bad_input import refusing
from mudrock_cli.image.limits import check_segment
from mudrock_cli.image.piece_cache import PieceCache
from mudrock_cli.image.streams import count_stream_pixels
from mudrock_cli.image.window import Box

_STREAM_EXCESS = 4
_LEAST_CACHE, _MOST_CACHE = 1 << 26, 1 << 27  # two rows of tiles serve what goes from top to bottom
_JPEG = {6, 7, 34892, 33007}
LOSSY = _JPEG | {33003, 33005, 34712, 50001, 50002, 52546}
"""Compression codes that may not give back the exact values: JPEG, JPEG 2000, WebP, JPEG XL."""
_IMAGES = LOSSY | {22610, 33004, 34887, 34933, 34934, 48124, 65000, 65001, 65002}
"""Codes whose segments are whole images with a header; LERC, JPEG XR and PNG are without loss."""


class SegmentReader:
    """Read windows of one page of a TIFF file; usable from several threads.

    The file is opened for each window and closed again, so that a reader holds no handle.

    Parameters
    ----------
    path : Path
        TIFF file.
    page : TiffPage
        A page whose header has been checked.

    Raises
    ------
    MudrockError
        If strips or tiles are missing from the file, or one of them is a bomb.
    """

    def __init__(self, path: Path, page: TiffPage) -> None:
        self.path = path
        self.shape = (int(page.imagelength), int(page.imagewidth))
        self.channels = int(page.samplesperpixel)
        self.dtype = np.dtype(np.uint8 if page.dtype == bool else page.dtype)
        self._page = page
        self._planes = self.channels if page.planarconfig == 2 else 1
        if page.is_tiled:
            self._segment = (int(page.tilelength), int(page.tilewidth))
        else:
            rows = int(page.rowsperstrip) or self.shape[0]
            self._segment = (min(rows, self.shape[0]), self.shape[1])
        self._grid = tuple(math.ceil(n / m) for n, m in zip(self.shape, self._segment, strict=True))
        self._offsets = page.dataoffsets
        self._counts = page.databytecounts
        self._raw_rows = _is_plain(page)
        page.decode  # noqa: B018  built here, since building it is not thread-safe
        jpeg = page.compression in _JPEG
        self._tables = (
            {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if jpeg else {}
        )
        row_bytes = self._segment[0] * self.shape[1] * self.channels * self.dtype.itemsize
        self._cache = PieceCache(min(max(2 * row_bytes, _LEAST_CACHE), _MOST_CACHE))
        self._check(path.stat().st_size)

    @property
    def stored_bytes(self) -> int:
        """Bytes of all encoded segments."""
        return sum(int(count) for count in self._counts)

    def __call__(self, rows: slice, columns: slice) -> npt.NDArray[Any]:
        """Return the samples of a window, shape (rows, columns, channels).

        Raises
        ------
        MudrockError
            If a segment cannot be decoded.
        """
        box = Box.from_slices(rows, columns, self.shape)
        window = np.empty((*box.shape, self.channels), self.dtype)
        if window.size == 0:
            return window
        height, width = self._segment
        with refusing(self.path), self.path.open("rb") as file:
            for plane in range(self._planes):
                target = window[..., plane : plane + 1] if self._planes > 1 else window
                for row in range(box.top // height, (box.bottom - 1) // height + 1):
                    for column in range(box.left // width, (box.right - 1) // width + 1):
                        self._copy(file, plane, row, column, box, target)
        return window

    def _copy(
        self,
        file: IO[bytes],
        plane: int,
        row: int,
        column: int,
        box: Box,
        target: npt.NDArray[Any],
    ) -> None:
        """Copy what segment (`plane`, `row`, `column`) holds of `box` into `target`."""
        height, width = self._segment
        top, left = row * height, column * width
        part = box.intersect(
            Box(top, left, min(top + height, self.shape[0]), min(left + width, self.shape[1]))
        )
        index = (plane * self._grid[0] + row) * self._grid[1] + column
        if self._raw_rows:
            data, top = self._read_rows(file, index, part.top - top, part.height), part.top
        else:
            data = self._cache.get(index, lambda: self._decode(file, index))
        source = data[part.top - top : part.bottom - top, part.left - left : part.right - left]
        target[
            part.top - box.top : part.bottom - box.top, part.left - box.left : part.right - box.left
        ] = source

    def _read_rows(self, file: IO[bytes], index: int, first: int, count: int) -> npt.NDArray[Any]:
        """Return `count` rows of an uncompressed strip without reading the others."""
        channels = 1 if self._planes > 1 else self.channels
        row_bytes = self.shape[1] * channels * self.dtype.itemsize
        file.seek(int(self._offsets[index]) + first * row_bytes)
        data = file.read(count * row_bytes)
        stored = self.dtype.newbyteorder(self._page.parent.byteorder)
        return np.frombuffer(data, stored).reshape(count, self.shape[1], channels)

    def _decode(self, file: IO[bytes], index: int) -> npt.NDArray[Any]:
        """Return a decoded segment, shape (rows, columns, channels)."""
        file.seek(int(self._offsets[index]))
        encoded = file.read(int(self._counts[index]))
        if self._page.compression in _IMAGES:
            self._check_stream(encoded)
        data: npt.NDArray[Any] = self._page.decode(encoded, index, **self._tables)[0][0]
        return data

    def _check_stream(self, encoded: bytes) -> None:
        """Refuse an image inside whose own header promises more than its segment, or nothing."""
        pixels = count_stream_pixels(encoded)
        if pixels is None and self._page.compression not in _JPEG:  # JPEG may lack a header
            raise MudrockError(
                f"{self.path}: an image inside tells no size that can be read",
                "export it uncompressed, or compressed as deflate",
            )
        if (pixels or 0) > _STREAM_EXCESS * math.prod(self._segment):
            raise MudrockError(
                f"{self.path}: an image inside is larger than its place", "export the image again"
            )

    def _check(self, size: int) -> None:
        """Refuse a page whose segments are not all inside the file of `size` bytes."""
        expected = self._planes * math.prod(self._grid)
        if len(self._offsets) < expected or len(self._counts) < expected:
            raise MudrockError(
                f"{self.path}: {min(len(self._offsets), len(self._counts))} of {expected} strips"
                " or tiles are there",
                "the file is incomplete: copy or export it again",
            )
        channels = 1 if self._planes > 1 else self.channels
        whole = math.prod(self._segment) * channels * self.dtype.itemsize
        last = self.shape[0] - (self._grid[0] - 1) * self._segment[0]
        for index in range(expected):
            offset, count = int(self._offsets[index]), int(self._counts[index])
            needed = count
            if self._raw_rows:
                rows = last if index % self._grid[0] == self._grid[0] - 1 else self._segment[0]
                needed = rows * self.shape[1] * channels * self.dtype.itemsize
            if offset <= 0 or count <= 0 or offset + needed > size:
                raise MudrockError(
                    f"{self.path}: truncated, {size} bytes do not hold all its pixels",
                    "the file is incomplete: copy or export it again",
                )
            if not self._raw_rows:
                check_segment(self.path, promised=whole, stored=count)


def _is_plain(page: TiffPage) -> bool:
    """Return whether rows can be read from the file's bytes as they are."""
    return (
        page.compression == 1
        and page.predictor == 1
        and page.fillorder == 1
        and not page.is_tiled
        and page.bitspersample in (8, 16, 32, 64)
        and page.sampleformat != 5
        and not page.is_subsampled
    )
