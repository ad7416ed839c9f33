"""The packed table holds what the Parquet file holds."""

import base64
import gzip
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mudrock_cli.report.page import PackedRows, largest_rows, pack_rows

KINDS = {"float32": "<f4", "uint32": "<u4", "word": "<u2"}


def unpack(packed: PackedRows) -> dict[str, Any]:
    """Do what the page's script does."""
    data, columns = gzip.decompress(base64.b64decode(packed.data)), {}
    for column in packed.layout["columns"]:
        kind = np.dtype(KINDS[column["kind"]])
        size = packed.layout["rows"] * kind.itemsize
        plain = np.frombuffer(data[:size], np.uint8).reshape(kind.itemsize, -1).T
        values, data = plain.copy().view(kind).ravel(), data[size:]
        words = column["words"]
        columns[column["name"]] = [words[code] for code in values] if words else values
    assert not data
    return columns


def test_every_column_comes_back(field: Any) -> None:
    table = pq.read_table(field.table)
    columns = unpack(pack_rows(table))
    assert columns["image"] == table["image"].to_pylist()
    np.testing.assert_array_equal(columns["label"], table["label"].to_numpy())
    for name in ("ecd_um", "aspect_ratio", "orientation_deg", "mean_grey"):
        truth = table[name].to_numpy()
        np.testing.assert_allclose(columns[name], truth, rtol=3e-4, equal_nan=True)
    borders = ["yes" if cut else "no" for cut in table["touches_border"].to_pylist()]
    assert columns["touches_border"] == borders
    assert "mean_confidence" not in columns  # nothing in it


def test_a_hundred_thousand_rows_stay_small(field: Any) -> None:
    table = pq.read_table(field.table)
    rng = np.random.default_rng(0)
    many = table.take(pa.array(rng.integers(0, len(table), 100_000)))
    for name in ("ecd_um", "area_um2", "feret_max_um", "nearest_neighbour_um"):
        column = many.schema.get_field_index(name)
        many = many.set_column(column, name, pa.array(rng.lognormal(0, 1, 100_000)))
    assert len(pack_rows(many).data) < 4_000_000


def test_no_objects(field: Any) -> None:
    table = pq.read_table(field.table).slice(0, 0)
    packed = pack_rows(table)
    assert packed.layout["rows"] == 0
    assert {len(column) for column in unpack(packed).values()} == {0}
    assert largest_rows(table) == []


def test_the_largest_stand_first(field: Any) -> None:
    areas = [row["area_um2"] for row in largest_rows(pq.read_table(field.table), 5)]
    assert areas == sorted(areas, reverse=True)
    assert areas[0] == max(pq.read_table(field.table)["area_um2"].to_pylist())
