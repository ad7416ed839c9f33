"""Arrow columns from NumPy arrays and lists, built from their buffers.

``pyarrow.array`` looks whether its argument is one of pandas', and imports pandas for that: half a
second in which `stats` measures a whole micrograph. Nothing here does.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mudrock_cli.measure.objects.hull import Bools

TYPES = {
    "str": pa.string(),
    "category": pa.dictionary(pa.int32(), pa.string()),
    "bool": pa.bool_(),
    "int": pa.int64(),
    "uint": pa.uint32(),
    "float": pa.float64(),
    "floats": pa.list_(pa.float64()),
    "strs": pa.list_(pa.string()),
}
"""Arrow type of each kind of column."""

_NUMBERS = {"int": np.int64, "uint": np.uint32, "float": np.float64, "bool": np.bool_}


def pack_numbers(values: npt.ArrayLike, kind: str, valid: Bools | None = None) -> pa.Array:
    """Return a column of numbers or truth values.

    Parameters
    ----------
    values : array_like, shape (N,)
        The values; NaN becomes null.
    kind : {"int", "uint", "float", "bool"}
        Type of the column.
    valid : ndarray of bool, shape (N,), optional
        False where the column is null.
    """
    array: npt.NDArray[Any] = np.ascontiguousarray(values, _NUMBERS[kind])
    if kind == "float":
        number = ~np.isnan(array)
        valid = number if valid is None else valid & number
    data = np.packbits(array, bitorder="little") if kind == "bool" else array
    return _assemble(kind, len(array), valid, [pa.py_buffer(data)])


def pack_words(
    index: npt.NDArray[np.integer | np.bool_], words: Sequence[str], valid: Bools | None = None
) -> pa.Array:
    """Return a column of category words.

    Parameters
    ----------
    index : ndarray of integers, shape (N,)
        Which of the words; anything where not valid.
    words : sequence of str
        The words.
    valid : ndarray of bool, shape (N,), optional
        False where the column is null.
    """
    numbers = np.ascontiguousarray(index, np.int32)
    if valid is not None:
        numbers = np.where(valid, numbers, np.int32(0))
    buffers = [_pack_bits(valid), pa.py_buffer(numbers)]
    indices = pa.Array.from_buffers(pa.int32(), len(numbers), buffers)
    return pa.DictionaryArray.from_arrays(indices, pack_values(words, "str"))


def pack_values(values: Sequence[Any], kind: str) -> pa.Array:
    """Return a column of any kind from a list; None and NaN become null.

    Parameters
    ----------
    values : sequence
        The values; sequences themselves where the kind is a list.
    kind : str
        A key of `TYPES`.
    """
    valid = np.array([value is not None for value in values], np.bool_)
    if kind in _NUMBERS:
        zero = np.nan if kind == "float" else 0
        return pack_numbers([zero if value is None else value for value in values], kind, valid)
    if kind == "category":
        words = sorted({value for value in values if value is not None})
        index = [0 if value is None else words.index(value) for value in values]
        return pack_words(np.array(index, np.int32), words, valid)
    filled = [() if value is None else value for value in values]
    if kind == "str":
        encoded = [value.encode() if value else b"" for value in filled]
        buffers = [_pack_offsets(encoded), pa.py_buffer(b"".join(encoded))]
        return _assemble(kind, len(encoded), valid, buffers)
    items = pack_values(list(chain.from_iterable(filled)), kind.removesuffix("s"))
    return _assemble(kind, len(filled), valid, [_pack_offsets(filled)], [items])


def _assemble(
    kind: str,
    length: int,
    valid: Bools | None,
    buffers: list[pa.Buffer],
    children: list[pa.Array] | None = None,
) -> pa.Array:
    return pa.Array.from_buffers(
        TYPES[kind], length, [_pack_bits(valid), *buffers], children=children
    )


def _pack_bits(valid: Bools | None) -> pa.Buffer | None:
    if valid is None or valid.all():
        return None
    return pa.py_buffer(np.packbits(valid, bitorder="little"))


def _pack_offsets(parts: Sequence[Any]) -> pa.Buffer:
    return pa.py_buffer(np.cumsum([0, *map(len, parts)], dtype=np.int32))
