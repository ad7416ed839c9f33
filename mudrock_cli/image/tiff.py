"""Open a TIFF file: find the micrograph's page, check its header, read it through windows."""

import contextlib
import logging
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from tifffile import TiffFile, TiffPage, TiffPages

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.bad_input import refusing
from mudrock_cli.image.limits import check_expansion, check_header
from mudrock_cli.image.samples import Colours, Samples, is_reduced
from mudrock_cli.image.segments import LOSSY, SegmentReader

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


def open_tiff(path: Path, max_pixels: int, *, bombs: bool = False) -> Samples:
    """Open the first full-size page of a TIFF file.

    Parameters
    ----------
    path : Path
        TIFF or BigTIFF file.
    max_pixels : int
        Ceiling of pixels.
    bombs : bool
        Allow files that expand far (masks do).

    Raises
    ------
    MudrockError
        If the file is no TIFF, holds no image, or holds one that cannot be read.
    """
    with refusing(path), TiffFile(path) as tiff:
        page = _first_full_page(path, tiff)
        shape = (int(page.imagelength), int(page.imagewidth))
        check_header(path, shape, max_pixels)
        colours = _colours(path, page)
        reader = SegmentReader(path, page)
        if page.compression != 1 and not bombs:
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
        with contextlib.suppress(MudrockError), refusing(path):
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
