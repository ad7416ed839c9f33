"""TIFF files: find the micrograph's page, check its header, read it through windows; write maps."""

import contextlib
import logging
import math
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile
from tifffile import TiffFile, TiffPage, TiffPages

from mudrock_cli.errors import MudrockError, reading
from mudrock_cli.files import atomic_write
from mudrock_cli.image.limits import check_expansion, check_header, check_segment
from mudrock_cli.image.tiles import BandCutter, PieceReader
from mudrock_cli.image.types import Colours, PixelSize, Samples, is_reduced

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
_JPEG = {6, 7, 34892, 33007}
_STREAMS = {
    *_JPEG,
    *(22610, 33003, 33004, 33005, 34712, 34887, 34933, 34934, 48124, 50001, 50002, 52546),
    *(65000, 65001, 65002),
}
"""Codes whose strips or tiles are whole images with a header of their own."""
_STREAM_EXCESS = 4
_IMAGEJ_STACK = re.compile(r"^ImageJ=[^\n]*\nimages=(\d{1,9})$", re.MULTILINE)
_LEAST_CACHE, _MOST_CACHE = 1 << 26, 1 << 27  # two rows of tiles serve what goes from top to bottom
STRIP_ROWS = 64
DEFLATE_LEVEL = 6
BIG_BYTES = 4_000_000_000
_NM_PER_CM = 1e7


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
        check_header(path, (int(page.imagelength), int(page.imagewidth)), max_pixels)
        full = _open_page(path, page)
        if page.compression != 1 and not allow_high_compression:
            promised = math.prod(full.shape) * full.channels * full.dtype.itemsize
            stored = sum(map(int, page.databytecounts))
            check_expansion(path, full.shape, max_pixels, promised=promised, stored=stored)
        return replace(
            full,
            tags=_fact_tags(tiff, page),
            resolution=_resolution(page),
            warnings=_describe_pages(tiff, page),
            reduced=tuple(_open_reduced(path, tiff, page, full)),
        )


def _first_full_page(path: Path, tiff: TiffFile) -> TiffPage:
    """Return the first page as large as the largest, thumbnails left out."""
    pages = [page for page in _pages(tiff.pages) if page.imagelength > 0 and page.imagewidth > 0]
    if not pages:
        raise MudrockError(f"{path}: a TIFF without an image", "export the image again")
    full = [page for page in pages if not page.is_reduced] or pages
    return max(full, key=lambda page: page.imagelength * page.imagewidth)


def _describe_pages(tiff: TiffFile, page: TiffPage) -> tuple[str, ...]:
    """Say which page was taken where a file holds several images; a pyramid is one."""
    pages = [each for each in _pages(tiff.pages) if not each.is_reduced]
    count = f"{len(pages)}{' or more' if len(pages) == _MAX_PAGES else ''}"
    if len(pages) == 1:  # ImageJ stores large stacks behind a single page
        told = _IMAGEJ_STACK.search(page.description) if page.description else None
        images = int(told[1]) if told else 1
        return (f"a stack of {images} images: the first was taken",) if images > 1 else ()
    number = next((n for n, each in enumerate(pages, 1) if each.index == page.index), 1)
    if all((each.imagelength, each.imagewidth) == page.shape[:2] for each in pages):
        return (f"a stack of {count} pages: the first was taken",)
    return (f"{count} pages: page {number}, the first of the largest, was taken",)


def _pages(pages: TiffPages) -> Iterator[TiffPage]:
    """Yield the first pages; one that cannot be read ends the list (IFDs may be cyclic)."""
    for index in range(_MAX_PAGES):
        try:
            page = pages[index]
        except Exception:
            return
        if isinstance(page, TiffPage):
            yield page


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
            if is_reduced((int(level.imagelength), int(level.imagewidth)), shape):
                small = _open_page(path, level)
                if _kind(small) == _kind(full):
                    shape = small.shape
                    yield small


def _kind(samples: Samples) -> tuple[object, ...]:
    return samples.colours, samples.channels, samples.dtype, samples.bits


def _open_page(path: Path, page: TiffPage) -> Samples:
    """Return the samples of a page, or refuse one that shows no grey or colour image."""
    channels, bits = page.samplesperpixel, page.bitspersample
    photometric = 1 if 262 not in page.tags and channels == 1 else int(page.photometric)
    colours = _COLOURS.get(photometric)
    if colours is None or (photometric == 6 and page.compression not in (6, 7)):
        raise MudrockError(f"{path}: colour model {photometric} is not supported", _HINT)
    if page.dtype is None or page.dtype.kind not in "buif" or not isinstance(bits, int):
        raise MudrockError(f"{path}: {bits}-bit samples of this kind are not supported", _HINT)
    if page.imagedepth != 1:
        raise MudrockError(f"{path}: a volume of {page.imagedepth} slices, not an image", _HINT)
    if channels not in ((3, 4) if colours is Colours.RGB else (1, 2)):
        raise MudrockError(f"{path}: {channels} channels, not one image", _HINT)
    if colours is Colours.PALETTE and page.dtype.kind not in "bu":
        raise MudrockError(f"{path}: a palette of {page.dtype} values", _HINT)
    read = _open_windows(path, page)
    return Samples(
        path=path,
        shape=read.shape,
        channels=read.channels,
        dtype=read.dtype,
        bits=int(bits),
        colours=colours,
        read=read,
        palette=_palette(page) if colours is Colours.PALETTE else None,
        has_alpha=tuple(page.extrasamples)[-1:] in ((1,), (2,)),
    )


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


# Windows of a page: only the strips or tiles that a window touches are decoded, by tifffile.


def _open_windows(path: Path, page: TiffPage) -> PieceReader:
    """Return a window reader of a page whose header has been checked.

    The file is opened for each piece and closed again, so that a reader holds no handle. By hand:
    through tifffile's Zarr view bands of 20,000 x 20,000 pixels in tiles take twice as long or
    more, overlapping windows of strips ten times, and one window of a single strip 430 MB
    (tests/benchmarks/tiff_windows.py).

    Raises
    ------
    MudrockError
        If strips or tiles are missing from the file, or one of them is a bomb.
    """
    shape = int(page.imagelength), int(page.imagewidth)
    channels = int(page.samplesperpixel)
    dtype = np.dtype(np.uint8 if page.dtype == bool else page.dtype)
    planes = channels if page.planarconfig == 2 else 1
    if page.is_tiled:
        piece = int(page.tilelength), int(page.tilewidth)
    else:
        piece = min(int(page.rowsperstrip) or shape[0], shape[0]), shape[1]
    grid = -(-shape[0] // piece[0]), -(-shape[1] // piece[1])
    row_bytes = shape[1] * channels // planes * dtype.itemsize
    page.decode  # noqa: B018  built here: not thread-safe, and it checks the header
    offsets, plain = page.dataoffsets, _is_plain(page)
    pieces = planes * math.prod(grid)
    if plain:
        rows = [min(piece[0], shape[0] - row * piece[0]) for row in range(grid[0])]
        _check_pieces(path, page, [count * row_bytes for count in rows] * planes)
    else:
        whole = math.prod(piece) * row_bytes // shape[1]
        _check_pieces(path, page, page.databytecounts[:pieces], pieces, whole)
    if plain:
        stored = dtype.newbyteorder(page.parent.byteorder)
        # Strips that follow one another are cut anew: some microscopes write a single one.
        steps = np.diff(np.reshape(offsets[:pieces], (planes, -1)).astype(np.int64))
        step = STRIP_ROWS if (steps == piece[0] * row_bytes).all() else piece[0]

        def read_rows(row: int, column: int) -> npt.NDArray[Any]:
            count = min(step, shape[0] - row * step)
            strip, first = divmod(row * step, piece[0])
            parts = []
            with reading(path), path.open("rb") as file:
                for plane in range(planes):
                    file.seek(int(offsets[plane * grid[0] + strip]) + first * row_bytes)
                    data = np.frombuffer(file.read(count * row_bytes), stored)
                    parts.append(data.reshape(count, shape[1], -1))
            return np.concatenate(parts, -1)

        return PieceReader(shape, (step, shape[1]), channels, dtype, read_rows, cache_bytes=0)
    jpeg = page.compression in _JPEG
    tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if jpeg else {}

    def decode(row: int, column: int) -> npt.NDArray[Any]:
        parts = []
        with reading(path), path.open("rb") as file:
            for plane in range(planes):
                index = (plane * grid[0] + row) * grid[1] + column
                file.seek(int(offsets[index]))
                encoded = file.read(int(page.databytecounts[index]))
                if page.compression in _STREAMS:
                    _check_stream(path, encoded, math.prod(piece), may_lack_size=jpeg)
                parts.append(page.decode(encoded, index, **tables)[0][0])
        return np.concatenate(parts, -1) if planes > 1 else parts[0]

    cache = min(max(2 * piece[0] * row_bytes * planes, _LEAST_CACHE), _MOST_CACHE)
    return PieceReader(shape, piece, channels, dtype, decode, cache_bytes=cache)


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


def _check_pieces(
    path: Path, page: TiffPage, needed: Sequence[int], expected: int = 0, whole: int = 0
) -> None:
    """Refuse a page whose strips or tiles are not all in the file, or expand beyond reason.

    `needed` are the bytes of each, `expected` their number, `whole` the bytes of a decoded one.
    """
    size, expected = path.stat().st_size, expected or len(needed)
    there = min(len(page.dataoffsets), len(page.databytecounts))
    if there < expected:
        raise MudrockError(
            f"{path}: {there} of {expected} strips or tiles are there",
            "the file is incomplete: copy or export it again",
        )
    for offset, stored, count in zip(page.dataoffsets, page.databytecounts, needed, strict=False):
        if int(offset) <= 0 or int(stored) <= 0 or int(offset) + int(count) > size:
            raise MudrockError(
                f"{path}: truncated, {size} bytes do not hold all its pixels",
                "the file is incomplete: copy or export it again",
            )
        if whole:
            check_segment(path, promised=whole, stored=int(count))


# How many pixels an image inside a strip or tile decodes to, by its own header: that may promise
# far more than the TIFF file does, and its decoder would allocate it. By hand, since Pillow reads
# headers of 8-bit JPEG only, and imagecodecs none without decoding.

_JPEG_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_SEARCHED = 1 << 16


def _check_stream(path: Path, data: bytes, place: int, *, may_lack_size: bool) -> None:
    """Refuse an image whose header promises far more than its `place` of pixels, or nothing."""
    pixels = count_stream_pixels(data)
    if pixels is None and not may_lack_size:
        raise MudrockError(
            f"{path}: an image inside tells no size that can be read",
            "export it uncompressed, or compressed as deflate",
        )
    if (pixels or 0) > _STREAM_EXCESS * place:
        raise MudrockError(
            f"{path}: an image inside is larger than its place", "export the image again"
        )


def count_stream_pixels(data: bytes) -> int | None:
    """Return the pixels that a stream's own header promises.

    Parameters
    ----------
    data : bytes
        An encoded segment: JPEG, JPEG 2000, JPEG XL, PNG, WebP or LERC.

    Returns
    -------
    int or None
        None when the stream is of none of these kinds, or tells no size.
    """
    find = next((find for start, find in _SIZES.items() if data.startswith(start)), _jpeg_2000_size)
    try:
        size = find(data)
    except struct.error:  # the stream ends within its header
        return None
    return size[0] * size[1] if size else None


_Size = tuple[int, int]


def _jpeg_size(data: bytes) -> _Size | None:
    """Walk the markers of a JPEG stream up to its frame header."""
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker in _JPEG_FRAMES:
            return struct.unpack_from(">HH", data, position + 5)
        if marker == 0xFF:
            position += 1
        elif marker in _JPEG_BARE:
            position += 2
        else:
            position += 2 + int(struct.unpack_from(">H", data, position + 2)[0])
    return None


def _jpeg_2000_size(data: bytes) -> _Size | None:
    start = data.find(b"\xff\x4f\xff\x51", 0, _SEARCHED)  # start of codestream, then its size
    if start < 0:
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", data, start + 8)
    return max(0, bottom - top), max(0, right - left)


def _png_size(data: bytes) -> _Size:
    return struct.unpack_from(">II", data, 16)


def _lerc_size(data: bytes) -> _Size | None:
    version = struct.unpack_from("<i", data, 6)[0]
    height, width = struct.unpack_from("<ii", data, 14 if version > 2 else 10)
    return (height, width) if min(height, width) > 0 else None


def _webp_size(data: bytes) -> _Size | None:
    kind = data[12:16]
    if kind == b"VP8X":
        wide, tall = (int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        return tall + 1, wide + 1
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return height & 0x3FFF, width & 0x3FFF
    return None


def _jpeg_xl_size(data: bytes) -> _Size | None:
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
    return height, height * over // under if over else take_side()


_SIZES: dict[bytes, Callable[[bytes], _Size | None]] = {
    b"\xff\xd8": _jpeg_size,
    b"\xff\x0a": _jpeg_xl_size,
    b"\0\0\0\x0cJXL ": _jpeg_xl_size,
    b"\x89PNG": _png_size,
    b"Lerc2 ": _lerc_size,
    b"RIFF": _webp_size,
}


# Maps that go with a mask, such as confidence or instance labels, written strip by strip.


def write_plane(
    path: Path,
    shape: tuple[int, int],
    dtype: npt.DTypeLike,
    bands: Iterable[npt.NDArray[Any]],
    pixel_size: PixelSize | None,
) -> None:
    """Write a grey OME-TIFF, deflated, beside its place and move it there.

    Its ``Software`` is mudrock, by which label images beside masks are told from these.

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
    big = shape[0] * shape[1] * kind.itemsize > BIG_BYTES
    with atomic_write(path) as part, tifffile.TiffWriter(part, ome=True, bigtiff=big) as tiff:
        tiff.write(
            _strips(bands, shape, kind),
            shape=shape,
            dtype=kind,
            photometric="minisblack",
            compression="zlib",
            rowsperstrip=STRIP_ROWS,
            metadata=metadata,
            software="mudrock",
            **describe_resolution(pixel_size),
        )


def describe_resolution(pixel_size: PixelSize | None) -> dict[str, Any]:
    """Return the arguments of tifffile by which programs without OME-XML learn a pixel size."""
    if pixel_size is None:
        return {}
    density = _NM_PER_CM / pixel_size.nm
    return {"resolution": (density, density), "resolutionunit": "CENTIMETER"}


def _strips(
    bands: Iterable[npt.NDArray[Any]], shape: tuple[int, int], kind: np.dtype[Any]
) -> Iterator[bytes]:
    cutter = BandCutter(shape[0], STRIP_ROWS)
    for band in bands:
        for rows in cutter.cut(band):
            yield bytes(imagecodecs.zlib_encode(rows.astype(kind).tobytes(), level=DEFLATE_LEVEL))
