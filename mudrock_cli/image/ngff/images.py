"""Open an OME-Zarr image, or its labels, as stored samples."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.bad_input import refusing
from mudrock_cli.image.facts import Facts
from mudrock_cli.image.limits import check_expansion, check_header
from mudrock_cli.image.mask_metadata import stored_pixel_size
from mudrock_cli.image.ngff.folder import count_bytes
from mudrock_cli.image.ngff.header import ArrayHeader, read_header
from mudrock_cli.image.ngff.metadata import (
    PHASES,
    PROVENANCE,
    Group,
    Multiscale,
    find_image,
    read_multiscale,
)
from mudrock_cli.image.ngff.reader import ChunkReader
from mudrock_cli.image.samples import Colours, Samples, is_reduced

_SAME = 1e-6
"""Two copies of one pixel size differ by less than this share."""


def open_image(path: Path, max_pixels: int) -> Samples:
    """Open an OME-Zarr image.

    Parameters
    ----------
    path : Path
        Its folder.
    max_pixels : int
        Ceiling of pixels.

    Raises
    ------
    MudrockError
        If there is no image of one plane that can be read.
    """
    with refusing(path):
        found = read_multiscale(find_image(path))
        if any(level.startswith("labels/") for level in found.paths):
            raise MudrockError(f"{path}: holds labels, no micrograph", "give its image")
        return _open(path, found, max_pixels, bombs=False)


def open_labels(path: Path, max_pixels: int) -> Samples:
    """Open the mask in an OME-Zarr: its label image ``phases``, else its only one, else itself.

    Parameters
    ----------
    path : Path
        Folder of the image, or of a label image.
    max_pixels : int
        Ceiling of pixels.

    Raises
    ------
    MudrockError
        If there is none or several, or it cannot be read.
    """
    with refusing(path):
        return _open(path, read_multiscale(_find_labels(path)), max_pixels, bombs=True)


def _find_labels(path: Path) -> Group:
    image = find_image(path)
    names = image.label_names
    if PHASES in names:
        return image.open(f"labels/{PHASES}")
    if len(names) > 1:
        raise MudrockError(
            f"{path}: its labels are {', '.join(names[:5])}, none is called {PHASES}",
            f"name one: {path}/labels/{names[0]}",
        )
    return image.open(f"labels/{names[0]}") if names else image


def _open(path: Path, found: Multiscale, max_pixels: int, *, bombs: bool) -> Samples:
    header = _read_level(found, found.paths[0])
    shape = (header.shape[-2], header.shape[-1])
    check_header(path, shape, max_pixels)
    stored = count_bytes(found.group.root, header.folder)
    if not stored:
        raise MudrockError(f"{header.folder}: not one chunk of it is there", "copy it again")
    if not bombs:
        promised = math.prod(header.shape) * header.dtype.itemsize
        check_expansion(path, shape, max_pixels, promised=promised, stored=stored)
    full = _to_samples(path, found, header)
    return replace(full, reduced=tuple(_open_reduced(path, found, shape)))


def _open_reduced(path: Path, found: Multiscale, shape: tuple[int, int]) -> Iterator[Samples]:
    """Yield the smaller levels; the image can do without those that do not fit."""
    for name in found.paths[1:]:
        with contextlib.suppress(MudrockError):
            level = _to_samples(path, found, _read_level(found, name))
            if is_reduced(level.shape, shape):
                yield level
                shape = level.shape


def _read_level(found: Multiscale, level: str) -> ArrayHeader:
    """Read the header of a level and check that it is one plane."""
    group = found.group
    header = read_header(group.root, group.folder, level, group.zarr_format)
    place = header.folder
    if len(header.shape) != len(found.axes):
        raise MudrockError(
            f"{place}: {len(header.shape)} axes, the metadata tell of {len(found.axes)}",
            "export the image again",
        )
    for axis, count in zip(found.axes[:-2], header.shape, strict=False):
        colours = axis == "c" and count == 3 and found.rgb
        if count != 1 and not colours:
            raise MudrockError(
                f"{place}: {count} entries along {axis}, not one plane", "export one plane of it"
            )
    return header


def _to_samples(path: Path, found: Multiscale, header: ArrayHeader) -> Samples:
    provenance, facts = _believe(found)
    channel = found.axes.index("c") if "c" in found.axes else None
    reader = ChunkReader(found.group.root, header, channel, complete=provenance is not None)
    return Samples(
        path=path,
        shape=reader.shape,
        channels=reader.channels,
        dtype=reader.dtype,
        bits=1 if header.dtype == bool else reader.dtype.itemsize * 8,
        colours=Colours.RGB if reader.channels == 3 else Colours.GREY,
        read=reader,
        facts=() if facts is None else (facts,),
        provenance=provenance,
    )


def _believe(found: Multiscale) -> tuple[dict[str, Any] | None, Facts | None]:
    """Return mudrock's provenance and the scale, as far as the two tell the same pixel size.

    Where another program resampled the pixels and kept the provenance, neither is believed; a
    scale that was added is.
    """
    provenance, facts = found.group.attributes.get(PROVENANCE), found.facts
    if not isinstance(provenance, dict):
        return None, facts
    stored = stored_pixel_size(provenance)
    if stored is None:
        return (provenance, None) if facts is None else (None, facts)
    if facts is None or facts.pixel is None:
        return None, None
    agreed = all(abs(side / stored.nm - 1) < _SAME for side in facts.pixel)
    return (provenance, facts) if agreed else (None, None)
