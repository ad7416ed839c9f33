"""How many pixels an image stream inside a TIFF file will decode to, by its own header."""

import contextlib
import logging
import math
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any
from uuid import NAMESPACE_URL, uuid5

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile
from tifffile import TiffFile, TiffPage, TiffPages

from mudrock_cli.errors import MudrockError, reading
from mudrock_cli.files import atomic_write
from mudrock_cli.image.limits import check_expansion, check_header, check_segment
from mudrock_cli.image.samples import Colours, Samples, is_reduced
from mudrock_cli.image.tiles import BandCutter, PieceCache
from mudrock_cli.image.types import Box, PixelSize

_JPEG_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_J2K_SIZE = b"\xff\x4f\xff\x51"  # start of codestream, then its size
_J2K_HEADER = ">4sHHIIII"
_SEARCHED = 1 << 16


def count_stream_pixels(data: bytes) -> int | None:
    """Return the pixels that a stream's own header promises.

    The header of a strip or tile may promise far more than the TIFF file does, and its decoder
    would allocate that.

    Parameters
    ----------
    data : bytes
        An encoded segment: JPEG, JPEG 2000, JPEG XL, PNG, WebP or LERC.

    Returns
    -------
    int or None
        None when the stream is of none of these kinds, or tells no size.
    """
    try:
        for start, count in _COUNTERS.items():
            if data.startswith(start):
                return count(data)
        return _count_jpeg_2000(data)
    except struct.error:  # the stream ends within its header
        return None


def _count_jpeg(data: bytes) -> int | None:
    """Walk the markers of a JPEG stream up to its frame header."""
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return int(height * width)
        if marker == 0xFF:
            position += 1
        elif marker in _JPEG_BARE:
            position += 2
        else:
            position += 2 + int(struct.unpack_from(">H", data, position + 2)[0])
    return None


def _count_jpeg_2000(data: bytes) -> int | None:
    start = data.find(_J2K_SIZE, 0, _SEARCHED)
    if start < 0:
        return None
    *_, right, bottom, left, top = struct.unpack_from(_J2K_HEADER, data, start)
    return int(max(0, right - left) * max(0, bottom - top))


def _count_png(data: bytes) -> int | None:
    width, height = struct.unpack_from(">II", data, 16)
    return int(width * height)


def _count_lerc(data: bytes) -> int | None:
    version = struct.unpack_from("<i", data, 6)[0]
    height, width = struct.unpack_from("<ii", data, 14 if version > 2 else 10)
    return int(height * width) if min(height, width) > 0 else None


def _count_webp(data: bytes) -> int | None:
    kind = data[12:16]
    if kind == b"VP8X":
        wide, tall = (int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        return (wide + 1) * (tall + 1)
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return int(((bits & 0x3FFF) + 1) * ((bits >> 14 & 0x3FFF) + 1))
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return int((width & 0x3FFF) * (height & 0x3FFF))
    return None


def _count_jpeg_xl(data: bytes) -> int | None:
    """Read the size header of a bare codestream, or of the one in a container."""
    start = 0
    if not data.startswith(b"\xff\x0a"):
        box = data.find(b"jxlc", 0, _SEARCHED)
        box = box if box >= 0 else data.find(b"jxlp", 0, _SEARCHED) + 4  # counts its parts first
        start = data.find(b"\xff\x0a", box, box + 12) if box > 4 else -1
        if start < 0:
            return None
    if len(data) < start + 14:
        return None
    bits = int.from_bytes(data[start + 2 : start + 14], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    eighths = take(1)

    def take_side() -> int:
        return 8 * (take(5) + 1) if eighths else take((9, 13, 18, 30)[take(2)]) + 1

    height = take_side()
    over, under = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[take(3)]
    return height * (height * over // under if over else take_side())


_COUNTERS: dict[bytes, Callable[[bytes], int | None]] = {
    b"\xff\xd8": _count_jpeg,
    b"\xff\x0a": _count_jpeg_xl,
    b"\0\0\0\x0cJXL ": _count_jpeg_xl,
    b"\x89PNG": _count_png,
    b"Lerc2 ": _count_lerc,
    b"RIFF": _count_webp,
}


# Windows of a TIFF page: only the strips or tiles that a window touches are decoded.

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
        with reading(self.path), self.path.open("rb") as file:
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


# Open a TIFF file: find the micrograph's page, check its header, read it through windows.

# tifffile logs what it finds odd; what matters to the user is raised as a MudrockError instead.
_logger = logging.getLogger("tifffile")
_logger.addHandler(logging.NullHandler())
_logger.propagate = False

FACT_TAGS = (270, 271, 272, 305, 306, 34118, 34680, 34682, 34683, 40092, 50431)
"""Tags whose raw bytes are kept: description, make, model, software, date, and the vendors'."""

_MAX_PAGES = 64
_MAX_TAG_BYTES = 4 << 20
_HINT = "export it as grey 8- or 16-bit TIFF"
_COLOURS = {
    0: Colours.INVERTED,
    1: Colours.GREY,
    2: Colours.RGB,
    3: Colours.PALETTE,
    6: Colours.RGB,  # YCbCr, which the JPEG decoder turns into RGB
}


def open_tiff(path: Path, max_pixels: int, *, allow_high_compression: bool = False) -> Samples:
    """Open the first full-size page of a TIFF file.

    Parameters
    ----------
    path : Path
        TIFF or BigTIFF file.
    max_pixels : int
        Ceiling of pixels.
    allow_high_compression : bool
        Allow files that expand far (masks do).

    Raises
    ------
    MudrockError
        If the file is no TIFF, holds no image, or holds one that cannot be read.
    """
    with reading(path), TiffFile(path) as tiff:
        page = _first_full_page(path, tiff)
        shape = (int(page.imagelength), int(page.imagewidth))
        check_header(path, shape, max_pixels)
        colours = _colours(path, page)
        reader = SegmentReader(path, page)
        if page.compression != 1 and not allow_high_compression:
            promised = shape[0] * shape[1] * reader.channels * reader.dtype.itemsize
            check_expansion(path, shape, max_pixels, promised=promised, stored=reader.stored_bytes)
        full = _to_samples(path, page, colours, reader)
        return replace(
            full,
            tags=_fact_tags(tiff, page),
            resolution=_resolution(page),
            reduced=tuple(_open_reduced(path, tiff, page, full)),
        )


def _to_samples(path: Path, page: TiffPage, colours: Colours, reader: SegmentReader) -> Samples:
    return Samples(
        path=path,
        shape=reader.shape,
        channels=reader.channels,
        dtype=reader.dtype,
        bits=int(page.bitspersample),
        colours=colours,
        read=reader,
        palette=_palette(page) if colours is Colours.PALETTE else None,
        lossy=page.compression in LOSSY,
    )


def _open_reduced(path: Path, tiff: TiffFile, page: TiffPage, full: Samples) -> Iterator[Samples]:
    """Yield the smaller levels of a pyramid: pages below the page, or behind it and marked so.

    The image can do without those that cannot be read or do not fit.
    """
    inner: list[TiffPage] = []
    with contextlib.suppress(Exception):  # of a pointer to nowhere: every kind
        inner = list(_pages(page.pages)) if page.subifds else []
    behind = (each for each in _pages(tiff.pages) if each.is_reduced)
    shape = full.shape
    for level in (*inner, *behind):
        with contextlib.suppress(MudrockError), reading(path):
            if not is_reduced((int(level.imagelength), int(level.imagewidth)), shape):
                continue
            small = _to_samples(path, level, _colours(path, level), SegmentReader(path, level))
            if _kind(small) == _kind(full):
                shape = small.shape
                yield small


def _kind(samples: Samples) -> tuple[object, ...]:
    return samples.colours, samples.channels, samples.dtype, samples.bits


def _pages(pages: TiffPages) -> Iterator[TiffPage]:
    """Yield the first pages; one that cannot be read ends the list (IFDs may be cyclic)."""
    for index in range(_MAX_PAGES):
        try:
            page = pages[index]
        except Exception:
            return
        if isinstance(page, TiffPage):
            yield page


def _first_full_page(path: Path, tiff: TiffFile) -> TiffPage:
    """Return the first page as large as the largest, thumbnails left out."""
    pages = [page for page in _pages(tiff.pages) if page.imagelength > 0 and page.imagewidth > 0]
    if not pages:
        raise MudrockError(f"{path}: a TIFF without an image", "export the image again")
    full = [page for page in pages if not page.is_reduced] or pages
    return max(full, key=lambda page: page.imagelength * page.imagewidth)


def _colours(path: Path, page: TiffPage) -> Colours:
    """Return what the samples mean, or refuse a page that shows no grey or colour image."""
    channels, bits = page.samplesperpixel, page.bitspersample
    photometric = 1 if 262 not in page.tags and channels == 1 else int(page.photometric)
    colours = _COLOURS.get(photometric)
    if colours is None or (photometric == 6 and page.compression not in (6, 7)):
        raise MudrockError(f"{path}: colour model {photometric} is not supported", _HINT)
    if page.dtype is None or page.dtype.kind not in "buif" or not isinstance(bits, int):
        raise MudrockError(f"{path}: {bits}-bit samples of this kind are not supported", _HINT)
    if page.imagedepth != 1:
        raise MudrockError(f"{path}: a volume of {page.imagedepth} slices, not an image", _HINT)
    allowed = (3, 4) if colours is Colours.RGB else (1, 2)
    if channels not in allowed:
        raise MudrockError(f"{path}: {channels} channels, not one image", _HINT)
    if colours is Colours.PALETTE and page.dtype.kind not in "bu":
        raise MudrockError(f"{path}: a palette of {page.dtype} values", _HINT)
    return colours


def _palette(page: TiffPage) -> npt.NDArray[np.uint8]:
    """Return the colour map, shape (n, 3); 8-bit colours stand in the upper byte."""
    table = np.asarray(page.colormap, np.uint16).reshape(3, -1).T
    shift = 8 if table.max(initial=0) > 255 else 0  # some writers store 8-bit colours as they are
    return (table >> shift).astype(np.uint8)


def _fact_tags(tiff: TiffFile, page: TiffPage) -> dict[int, bytes]:
    """Return the raw bytes of the tags that carry facts."""
    facts = {}
    for code in FACT_TAGS:
        tag = page.tags.get(code)
        if tag is None:
            continue
        size = tag.count * struct.calcsize(tifffile.TIFF.DATA_FORMATS[tag.dtype])
        if 0 < size <= _MAX_TAG_BYTES:
            tiff.filehandle.seek(tag.valueoffset)
            raw = tiff.filehandle.read(size)
            if len(raw) == size:  # else the file ends in it
                facts[code] = raw
    return facts


def _resolution(page: TiffPage) -> tuple[float, float] | None:
    """Return XResolution and YResolution as they stand; a bare one is no pixel size."""
    found = []
    for code in (282, 283):
        tag = page.tags.get(code)
        if tag is None or not isinstance(tag.value, tuple) or len(tag.value) != 2:
            return None
        numerator, denominator = tag.value
        found.append(numerator / denominator if denominator else 0.0)
    return found[0], found[1]


# Write maps that go with a mask, such as confidence or instance labels, strip by strip.

_STRIP_ROWS = 64
_LEVEL = 6
_BIG_BYTES = 4_000_000_000


def write_plane(
    path: Path,
    shape: tuple[int, int],
    dtype: npt.DTypeLike,
    bands: Iterable[npt.NDArray[Any]],
    pixel_size: PixelSize | None,
) -> None:
    """Write a grey OME-TIFF, deflated, beside its place and move it there.

    Parameters
    ----------
    path : Path
        Target, ``.tif``.
    shape : tuple of int
        Rows and columns.
    dtype : dtype
        Of the pixels.
    bands : iterable of ndarray, shape (rows, columns)
        The rows from top to bottom, in bands of any height.
    pixel_size : PixelSize or None
        None writes a map without a pixel size.

    Raises
    ------
    MudrockError
        If the file cannot be written.
    """
    kind = np.dtype(dtype)
    # Not tifffile's UUID of time and network card: same map, same bytes, and nothing private.
    name = uuid5(NAMESPACE_URL, f"mudrock {kind} {shape} {pixel_size}")
    metadata: dict[str, Any] = {"axes": "YX", "UUID": f"urn:uuid:{name}"}
    if pixel_size is not None:
        for axis in "XY":
            metadata[f"PhysicalSize{axis}"] = pixel_size.um
            metadata[f"PhysicalSize{axis}Unit"] = "µm"
    big = shape[0] * shape[1] * kind.itemsize > _BIG_BYTES
    with atomic_write(path) as part, tifffile.TiffWriter(part, ome=True, bigtiff=big) as tiff:
        tiff.write(
            _strips(bands, shape, kind),
            shape=shape,
            dtype=kind,
            photometric="minisblack",
            compression="zlib",
            rowsperstrip=_STRIP_ROWS,
            metadata=metadata,
            software="mudrock",
        )


def _strips(
    bands: Iterable[npt.NDArray[Any]], shape: tuple[int, int], kind: np.dtype[Any]
) -> Iterator[bytes]:
    cutter = BandCutter(shape[0], _STRIP_ROWS)
    for band in bands:
        for rows in cutter.cut(band):
            yield bytes(imagecodecs.zlib_encode(rows.astype(kind).tobytes(), level=_LEVEL))
