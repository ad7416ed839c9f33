"""Exact order statistics of an image that is never whole in memory."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt


def order_statistics(
    bands: Callable[[], Iterator[npt.NDArray[Any]]], shares: tuple[float, float]
) -> tuple[float, float]:
    """Return exact order statistics of an image that is seen band by band.

    Values become 32-bit keys of the same order; one pass counts their upper halves, a second
    the lower halves inside the two bins that hold the ranks (a radix selection). Values of
    16 bits need one pass only.

    Parameters
    ----------
    bands : callable
        Returns a fresh iterator over the bands of one type; called once or twice.
    shares : tuple of float
        Ranks as shares 0..1 of the number of values.

    Returns
    -------
    tuple of float
        The value at each rank.
    """
    upper = np.zeros(1 << 16, np.int64)
    kind = np.dtype(np.uint16)
    for band in bands():
        kind = band.dtype
        halves = band if kind == np.uint16 else _keys(band) >> 16
        upper += np.bincount(halves.ravel(), minlength=1 << 16)
    ranks = [int(share * (int(upper.sum()) - 1)) for share in shares]
    ends = np.cumsum(upper)
    bins = [int(np.searchsorted(ends, rank, side="right")) for rank in ranks]
    if kind == np.uint16:  # sixteen bits are done after one pass
        return float(bins[0]), float(bins[1])
    lower = {chosen: np.zeros(1 << 16, np.int64) for chosen in bins}
    for band in bands():
        keys = _keys(band)
        for chosen, counts in lower.items():
            inside = keys[(keys >> 16) == chosen]
            counts += np.bincount(inside & 0xFFFF, minlength=1 << 16)
    found = []
    for rank, chosen in zip(ranks, bins, strict=True):
        before = int(ends[chosen]) - int(upper[chosen])
        low = int(np.searchsorted(np.cumsum(lower[chosen]), rank - before, side="right"))
        found.append(_value((chosen << 16) | low, kind))
    return found[0], found[1]


def _keys(values: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    """Return unsigned 32-bit keys in the order of `values`."""
    if values.dtype.kind == "u" and values.dtype.itemsize <= 4:
        return values.astype(np.uint32)
    if values.dtype.kind == "i" and values.dtype.itemsize <= 4:
        return values.astype(np.int32).view(np.uint32) ^ np.uint32(1 << 31)
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _value(key: int, kind: np.dtype[Any]) -> float:
    """Return the value that `_keys` turned into `key`."""
    if kind.kind == "u" and kind.itemsize <= 4:
        return float(key)
    if kind.kind == "i" and kind.itemsize <= 4:
        return float(key - (1 << 31))
    bits = key ^ (1 << 31) if key >> 31 else key ^ 0xFFFFFFFF
    return float(np.array(bits, np.uint32).view(np.float32))
