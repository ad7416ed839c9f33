"""Stored samples to grey levels 0..255, the same for every window."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.types import Box, Colours, Reader, Samples

_BAND_PIXELS = 1 << 22
_RANGE_PIXELS = 1 << 26
"""Of larger images evenly spaced bands are looked at, about so many pixels."""
_TAIL = 0.001
"""Share of the specimen's pixels that may saturate at either end of the grey range."""


def read_grey(samples: Samples, specimen: Box | None = None) -> Reader:
    """Return a window reader of grey levels.

    Eight-bit images keep their levels; palettes go through their colour table, colours through
    their luminance, opacity is left out. Other depths are brought to 0..255 by the 0.1st and
    99.9th percentile of the specimen, found once.

    Parameters
    ----------
    samples : Samples
        Stored samples.
    specimen : Box, optional
        Where the range of deeper images is found; the whole image otherwise.

    Returns
    -------
    callable
        ``read(rows, columns)``, uint8.
    """
    if samples.dtype == np.uint8:
        return read_levels(samples)
    return _Stretch(samples, specimen or Box.whole(samples.shape))


def read_levels(samples: Samples) -> Reader:
    """Return a window reader of one number per pixel, in the file's own range.

    Parameters
    ----------
    samples : Samples
        Stored samples.

    Returns
    -------
    callable
        ``read(rows, columns)``: the stored grey, or the luminance of stored colours.
    """
    table = _level_table(samples)

    def read(rows: slice, columns: slice) -> npt.NDArray[Any]:
        stored = samples.read(rows, columns)
        if samples.colours is Colours.RGB:
            return luminance(stored)
        if table is None:
            return stored[..., 0]
        return np.asarray(table[np.minimum(stored[..., 0], len(table) - 1)])

    return read


def luminance(colours: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the luma of colours by ITU-R BT.601, in their own type.

    Parameters
    ----------
    colours : ndarray, shape (..., 3 or more)
        Red, green, blue first. Equal channels keep their value.

    Returns
    -------
    ndarray, shape (...)
    """
    if colours.dtype.kind == "f":
        exact: type = np.float64
    else:
        exact = np.uint32 if colours.dtype in (np.uint8, np.uint16) else np.int64
    planes: list[npt.NDArray[Any]] = [colours[..., i].astype(exact) for i in range(3)]
    weighted = 299 * planes[0] + 587 * planes[1] + 114 * planes[2]
    luma = weighted / 1000 if exact is np.float64 else (weighted + 500) // 1000
    return np.asarray(luma, colours.dtype)


def _level_table(samples: Samples) -> npt.NDArray[Any] | None:
    """Return the level of each stored value, or None when they are the same."""
    if samples.colours is Colours.PALETTE and samples.palette is not None:
        return luminance(samples.palette).astype(samples.dtype)
    if samples.dtype != np.uint8:
        return None
    levels = np.arange(256)
    if samples.bits < 8:
        levels = np.minimum(levels * 255 // (2**samples.bits - 1), 255)
    if samples.colours is Colours.INVERTED:
        levels = 255 - levels
    return None if np.array_equal(levels, np.arange(256)) else levels.astype(np.uint8)


def order_statistics(
    bands: Iterable[npt.NDArray[Any]], shares: tuple[float, float]
) -> tuple[float, float]:
    """Return exact order statistics of an image that comes band by band.

    Parameters
    ----------
    bands : iterable of ndarray
        All of one type. Those of 16 bits are counted; others are held together in memory, of 64
        bits as float32.
    shares : tuple of float
        Ranks as shares 0..1 of the number of values.

    Returns
    -------
    tuple of float
        The value at each rank.
    """
    counts, kept = np.zeros(1 << 16, np.int64), []
    for band in bands:
        if band.dtype == np.uint16:
            counts += np.bincount(band.ravel(), minlength=1 << 16)
        else:
            wide = band.dtype.itemsize > 4
            kept.append(band.ravel().astype(np.float32 if wide else band.dtype))
    values = np.concatenate(kept) if kept else None
    number = int(counts.sum()) if values is None else len(values)
    ranks = [int(share * (number - 1)) for share in shares]
    if values is None:
        first, second = np.searchsorted(np.cumsum(counts), ranks, side="right")
    else:
        values.partition(ranks)
        first, second = values[ranks]
    return float(first), float(second)


class _Stretch:
    """Grey levels of samples deeper than eight bits."""

    def __init__(self, samples: Samples, specimen: Box) -> None:
        self._samples, self._specimen = samples, specimen
        self._read = read_levels(samples)
        self._range: tuple[float, float] | None = None
        self._table: npt.NDArray[np.uint8] | None = None
        self._lock = threading.Lock()

    def __call__(self, rows: slice, columns: slice) -> npt.NDArray[np.uint8]:
        with self._lock:
            if self._range is None:
                self._range = self._find_range()
                if self._samples.dtype == np.uint16:
                    self._table = self._to_grey(np.arange(1 << 16), *self._range)
        values = self._values(rows, columns)
        if self._table is not None:
            return np.asarray(self._table[values])
        return self._to_grey(values, *self._range)

    def _to_grey(self, values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
        """Bring values between `low` and `high` to 0..255."""
        grey = values.astype(np.float64)
        grey -= low
        grey *= 255.0 / (high - low)
        np.clip(grey, 0, 255, out=grey)
        grey += 0.5
        levels = grey.astype(np.uint8)
        return 255 - levels if self._samples.colours is Colours.INVERTED else levels

    def _values(self, rows: slice, columns: slice) -> npt.NDArray[Any]:
        """Return the stored levels of a window, refusing what is no number."""
        values = self._read(rows, columns)
        if values.dtype.kind == "f":
            with np.errstate(over="ignore"):  # doubles beyond a float count as infinite
                bad = int(np.count_nonzero(~np.isfinite(values.astype(np.float32))))
            if bad:
                raise MudrockError(
                    f"{self._samples.path}: {bad} pixels of a window are NaN or infinite",
                    "replace them by numbers, or export the image as 16-bit TIFF",
                )
        return values

    def _find_range(self) -> tuple[float, float]:
        """Return the values that become 0 and 255."""
        box = self._specimen
        rows = max(1, _BAND_PIXELS // max(1, box.width))
        step = rows * max(1, -(-box.height * box.width // _RANGE_PIXELS))

        def bands() -> Iterator[npt.NDArray[Any]]:
            for top in range(box.top, box.bottom, step):
                yield self._values(slice(top, min(top + rows, box.bottom)), box.columns)

        low, high = order_statistics(bands(), (_TAIL, 1 - _TAIL))
        if high <= low:
            low, high = order_statistics(bands(), (0.0, 1.0))
        return (low, high) if high > low else (low - 1, low + 1)


# Grey levels whose offset and gain are those of every other micrograph.

_SHARES = (0.1, 0.9)
_NORMAL = (96.0, 176.0)
"""Grey levels of these shares of a normalised micrograph, near those of the training data."""
_LEAST_RANGE = 4.0
_LOOK_PIXELS = 1 << 24


def normalise_grey(read: Reader, shape: tuple[int, int]) -> Reader:
    """Return a window reader of grey levels that brightness and contrast no longer change.

    The 10th and the 90th percentile become 96 and 176: what lies beyond them, pores and charged
    edges, differs more between micrographs, and is what saturates.

    Parameters
    ----------
    read : callable
        ``read(rows, columns)``, uint8.
    shape : tuple of int
        Rows and columns of the whole; of more than 2^24 pixels evenly spaced bands are looked at.

    Returns
    -------
    callable
        ``read(rows, columns)``, float32 within 0..255.
    """
    rows = max(1, _LOOK_PIXELS // 16 // max(1, shape[1]))
    step = rows * max(1, -(-shape[0] * shape[1] // _LOOK_PIXELS))
    counts = np.zeros(256, np.int64)
    for top in range(0, shape[0], step):
        band = read(slice(top, min(top + rows, shape[0])), slice(0, shape[1]))
        counts += np.bincount(band.ravel(), minlength=256)
    low, high = _interpolate_percentiles(counts)
    gain = (_NORMAL[1] - _NORMAL[0]) / max(high - low, _LEAST_RANGE)
    return _Normalised(read, gain, _NORMAL[0] - gain * low)


def _interpolate_percentiles(counts: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return the grey levels of `_SHARES`, between levels that occur where they fall there.

    Interpolated between the middles of the steps of the distribution, so that levels which a gain
    pulls apart or rounding joins give nearly the percentiles of before, changed by that gain.
    """
    levels = np.flatnonzero(counts)
    if not levels.size:
        return _NORMAL
    shares = counts[levels] / counts.sum()
    low, high = np.interp(_SHARES, np.cumsum(shares) - shares / 2, levels)
    return float(low), float(high)


@dataclass(frozen=True)
class _Normalised:
    """Reads windows of normalised grey levels."""

    read: Reader
    gain: float
    offset: float

    def __call__(self, rows: slice, columns: slice) -> npt.NDArray[np.float32]:
        grey = self.read(rows, columns).astype(np.float32)
        return np.clip(grey * np.float32(self.gain) + np.float32(self.offset), 0, 255, out=grey)
