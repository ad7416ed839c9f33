"""Refuse an image from its header, before anything is allocated for its pixels."""

import math
from pathlib import Path

from mudrock_cli.errors import MudrockError

MAX_PIXELS = 2_000_000_000
"""Default ceiling of pixels in one image."""

MAX_MASK_PIXELS = 20_000_000_000
"""Ceiling of pixels in a mask, which is read by bands: time, not memory, is what it costs."""

MIN_SIDE = 16
"""Fewer pixels along a side show no texture to segment."""

_SUSPICIOUS_RATIO = 200
# Noise keeps real micrographs below 4:1; 200:1 needs an image that is 99 % one grey.
_SUSPICIOUS_SHARE = 20
_SEGMENT_BYTES = 1 << 28


def check_header(path: Path, shape: tuple[int, int], max_pixels: int) -> None:
    """Refuse an image that is too small or too large.

    Parameters
    ----------
    path : Path
        File, for the message.
    shape : tuple of int
        Rows and columns that the header promises.
    max_pixels : int
        Ceiling.

    Raises
    ------
    MudrockError
        If a side is shorter than `MIN_SIDE` pixels or there are more than `max_pixels`.
    """
    height, width = shape
    if min(shape) < MIN_SIDE:
        raise MudrockError(
            f"{path}: {width} x {height} pixels are too few (at least {MIN_SIDE} a side)",
            "give a whole micrograph",
        )
    if height * width > max_pixels:
        raise MudrockError(
            f"{path}: its header promises {height * width:.3g} pixels, more than {max_pixels:.3g}",
            f"if that is right, allow it with --max-pixels {height * width}",
        )


def check_expansion(
    path: Path, shape: tuple[int, int], max_pixels: int, *, promised: int, stored: int
) -> None:
    """Refuse a file that expands beyond reason: a decompression bomb.

    A file that grows more than 200-fold may hold as many bytes as a twentieth of `max_pixels`, so
    that raising ``--max-pixels`` still allows it.

    Parameters
    ----------
    path : Path
        File, for the message.
    shape : tuple of int
        Rows and columns.
    max_pixels : int
        Ceiling for an ordinary file.
    promised, stored : int
        Bytes of the decoded and of the encoded pixels.

    Raises
    ------
    MudrockError
        If the file expands too much.
    """
    pixels = math.prod(shape)
    if promised > _SUSPICIOUS_RATIO * stored and promised > max_pixels // _SUSPICIOUS_SHARE:
        raise MudrockError(
            f"{path}: {stored / 1e6:.1f} MB promise {pixels:.3g} pixels; this looks like a bomb",
            f"if the file is right, allow it with --max-pixels {promised * _SUSPICIOUS_SHARE}",
        )


def check_segment(path: Path, *, promised: int, stored: int) -> None:
    """Refuse one compressed strip, tile or image that expands beyond reason in memory.

    Parameters
    ----------
    path : Path
        File, for the message.
    promised, stored : int
        Bytes of the decoded and of the encoded segment.

    Raises
    ------
    MudrockError
        If more than 256 MiB would come out of less than a 200th of it.
    """
    if promised > _SEGMENT_BYTES and promised > _SUSPICIOUS_RATIO * stored:
        raise MudrockError(
            f"{path}: {stored / 1e6:.1f} MB expand to {promised / 1e6:.0f} MB in one piece",
            "save it as a tiled TIFF",
        )
