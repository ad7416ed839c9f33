"""Bands of few values, compressed: small enough to hold those of a mosaic, or to send them."""

from dataclasses import dataclass
from typing import Any, Self

import imagecodecs
import numpy as np
import numpy.typing as npt

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
