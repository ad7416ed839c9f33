"""How many pixels a JPEG or JPEG 2000 stream inside a TIFF file will decode to."""

import struct

_JPEG_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_J2K_SIZE = b"\xff\x4f\xff\x51"  # start of codestream, then its size
_J2K_HEADER = ">4sHHIIII"


def count_stream_pixels(data: bytes) -> int | None:
    """Return the pixels that a stream's own header promises.

    The header of a strip or tile may promise far more than the TIFF file does, and its decoder
    would allocate that.

    Parameters
    ----------
    data : bytes
        An encoded segment.

    Returns
    -------
    int or None
        None when the stream is of neither kind, or tells no size.
    """
    if data.startswith(b"\xff\xd8"):
        return _count_jpeg(data)
    start = data.find(_J2K_SIZE, 0, 1 << 16)
    if start < 0 or len(data) < start + struct.calcsize(_J2K_HEADER):
        return None
    *_, right, bottom, left, top = struct.unpack_from(_J2K_HEADER, data, start)
    return int(max(0, right - left) * max(0, bottom - top))


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
