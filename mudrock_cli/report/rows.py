"""The rows of the instance table, packed for the page: gzipped columns in base64.

Numbers travel as 32-bit floats with eleven bits of mantissa (a relative error under 0.03 %, shown
with three or four digits), bytes of one place together, because that packs best. 100,000 objects
need about 3 MB.
"""

import base64
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True)
class Shown:
    """A column that the page shows.

    Parameters
    ----------
    name : str
        Its name in the instance table.
    title : str
        Its heading.
    digits : int
        Significant digits; 0 for words and labels.
    """

    name: str
    title: str
    digits: int = 0


SHOWN: tuple[Shown, ...] = (
    Shown("image", "image"),
    Shown("label", "label"),
    Shown("phase", "phase"),
    Shown("counted_as", "counted as"),
    Shown("ecd_um", "ECD (µm)", 3),
    Shown("area_um2", "area (µm²)", 3),
    Shown("size_class", "size class"),
    Shown("feret_max_um", "Feret max (µm)", 3),
    Shown("feret_min_um", "Feret min (µm)", 3),
    Shown("aspect_ratio", "aspect ratio", 3),
    Shown("orientation_deg", "direction (°)", 3),
    Shown("circularity", "circularity", 3),
    Shown("solidity", "solidity", 3),
    Shown("nearest_neighbour_um", "nearest (µm)", 3),
    Shown("host", "host"),
    Shown("mean_grey", "grey", 3),
    Shown("mean_confidence", "confidence", 3),
    Shown("touches_border", "cut by frame"),
)


@dataclass(frozen=True)
class PackedRows:
    """The instance table for a page.

    Parameters
    ----------
    data : str
        Base64 of the gzipped columns, one after the other.
    layout : mapping
        For the page's script: number of rows, and name, title, kind, words of each column.
    """

    data: str
    layout: Mapping[str, Any]


def pack_rows(instances: pa.Table) -> PackedRows:
    """Pack the instance table.

    Parameters
    ----------
    instances : pyarrow.Table
        Columns as in `INSTANCES`. Columns that hold nothing are left out.
    """
    parts, layout = [], []
    for shown in SHOWN:
        column = instances[shown.name].combine_chunks()
        if column.null_count == len(column) and len(column):
            continue
        words: list[str] = []
        if shown.name == "label":
            kind, packed = "uint32", _shuffle(column.to_numpy().astype("<u4"))
        elif shown.digits:
            kind, packed = "float32", _shuffle(_round_mantissa(_to_floats(column)))
        else:
            kind = "word"
            words, codes = _to_codes(column)
            packed = _shuffle(codes)
        parts.append(packed)
        layout.append(
            {
                "name": shown.name,
                "title": shown.title,
                "kind": kind,
                "digits": shown.digits,
                "words": words,
            }
        )
    data = gzip.compress(b"".join(parts), 6, mtime=0)
    return PackedRows(
        base64.b64encode(data).decode("ascii"), {"rows": len(instances), "columns": layout}
    )


def largest_rows(instances: pa.Table, count: int = 25) -> list[Mapping[str, Any]]:
    """Return the largest objects, for readers without a script."""
    order = np.argsort(-instances["area_um2"].to_numpy(), kind="stable")[:count]
    taken: list[Mapping[str, Any]] = (
        instances.select([shown.name for shown in SHOWN]).take(pa.array(order)).to_pylist()
    )
    return taken


def _to_floats(column: pa.Array) -> npt.NDArray[np.float32]:
    floats: npt.NDArray[np.float32] = column.to_numpy(zero_copy_only=False).astype("<f4")
    return floats


def _to_codes(column: pa.Array) -> tuple[list[str], npt.NDArray[np.uint16]]:
    """Return the words of a column and the number of each row's word; the last is "no word"."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.string()).dictionary_encode()
        words = ["yes" if word == "true" else "no" for word in column.dictionary.to_pylist()]
    else:
        column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        words = column.dictionary.to_pylist()
    codes = column.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
    return [*words, ""], codes.astype("<u2")


def _round_mantissa(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Round to eleven bits of mantissa; NaN and infinity stay."""
    bits = values.view(np.uint32)
    rounded = ((bits + np.uint32(1 << 11)) & np.uint32(0xFFFFF000)).view(np.float32)
    return np.where(np.isfinite(values), rounded, values).astype("<f4")


def _shuffle(values: npt.NDArray[Any]) -> bytes:
    """Put the first bytes of all values before the second bytes, and so on."""
    return values.view(np.uint8).reshape(len(values), values.itemsize).T.tobytes()
