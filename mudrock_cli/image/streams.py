"""How many pixels an image stream inside a TIFF file will decode to, by its own header."""

import struct
from collections.abc import Callable

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
