"""Decoded pieces of an image, the last used kept within a bound of memory."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy.typing as npt

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
