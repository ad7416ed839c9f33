"""The pixels of a file as they are stored: any type, any colours, read through windows."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Self

import imagecodecs
import numpy as np
import numpy.typing as npt

from mudrock_cli.image.types import Facts, Reader


class Colours(Enum):
    """What a stored sample means."""

    GREY = "grey"
    INVERTED = "grey, zero is white"
    PALETTE = "index into a colour table"
    RGB = "red, green, blue"


@dataclass(frozen=True)
class Samples:
    """Stored samples of one image.

    Parameters
    ----------
    path : Path
        File they are read from.
    shape : tuple of int
        Rows and columns.
    channels : int
        Samples per pixel; 2 or 4 when an alpha channel follows the colours.
    dtype : dtype
        Type of a sample.
    bits : int
        Bits of a sample in the file; fewer than eight are held in uint8.
    colours : Colours
        What the samples mean.
    read : callable
        ``read(rows, columns)``, shape (rows, columns, channels).
    palette : ndarray of uint8, shape (n, 3), optional
        Colour table.
    lossy : bool
        Compressed as JPEG, so that even a flat area is not of one value.
    tags : mapping
        TIFF tag codes to raw values, of the tags that carry facts; empty for other formats.
    resolution : tuple of float, optional
        XResolution and YResolution of a TIFF file as they stand.
    facts : tuple of Facts
        What the metadata of another format tell of the pixel size.
    provenance : mapping, optional
        How mudrock made it, where the format holds that apart; TIFF has it in a tag.
    reduced : tuple of Samples
        The same image in fewer pixels, as far as the file holds it, the largest first.
    """

    path: Path
    shape: tuple[int, int]
    channels: int
    dtype: np.dtype[Any]
    bits: int
    colours: Colours
    read: Reader
    palette: npt.NDArray[np.uint8] | None = None
    lossy: bool = False
    tags: Mapping[int, bytes] = field(default_factory=dict)
    resolution: tuple[float, float] | None = None
    facts: tuple[Facts, ...] = ()
    provenance: Mapping[str, Any] | None = None
    reduced: "tuple[Samples, ...]" = ()


def is_reduced(shape: tuple[int, int], whole: tuple[int, int]) -> bool:
    """Return whether an image of `shape` may be the one of `whole` in fewer pixels.

    Parameters
    ----------
    shape, whole : tuple of int
        Rows and columns.
    """
    factors = [large / small for small, large in zip(shape, whole, strict=True)]
    # A side of the smaller image may be rounded up or down.
    slack = [factor / small for factor, small in zip(factors, shape, strict=True)]
    return min(factors) > 1 and abs(factors[0] - factors[1]) <= sum(slack)


# Decoded pieces of an image, the last used kept within a bound of memory.

_BYTES = 128 << 20


class PieceCache:
    """Keep decoded pieces; usable from several threads.

    Parameters
    ----------
    limit : int
        Bytes kept; the last piece is kept even where it alone is larger.
    """

    def __init__(self, limit: int = _BYTES) -> None:
        self._limit = limit
        self._pieces: OrderedDict[Hashable, npt.NDArray[Any]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable, decode: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Return a piece, decoded only if it is not at hand."""
        with self._lock:
            if key in self._pieces:
                self._pieces.move_to_end(key)
                return self._pieces[key]
        piece = decode()
        with self._lock:
            if key not in self._pieces:
                self._pieces[key] = piece
                self._bytes += piece.nbytes
            while self._bytes > self._limit and len(self._pieces) > 1:
                self._bytes -= self._pieces.popitem(last=False)[1].nbytes
        return piece


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
