"""The packed table holds what the Parquet file holds."""

import base64
import gzip
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mudrock_cli.report.page import SHOWN, pack_rows
from mudrock_cli.report.tables import read_tables

KINDS = {"float32": "<f4", "uint32": "<u4", "word": "<u2"}


def unpack(table: pd.DataFrame) -> dict[str, Any]:
    """Pack a table, and do what the page's script does."""
    packed, layout = pack_rows(table)
    data, columns = gzip.decompress(base64.b64decode(packed)), {}
    for column in layout:
        kind = np.dtype(KINDS[column["kind"]])
        size = len(table) * kind.itemsize
        plain = np.frombuffer(data[:size], np.uint8).reshape(kind.itemsize, -1).T
        values, data = plain.copy().view(kind).ravel(), data[size:]
        words = column["words"]
        columns[column["name"]] = [words[code] for code in values] if words else values
    assert not data
    return columns


def test_every_column_comes_back(field: Any) -> None:
    table = read_tables(field.table).instances
    columns = unpack(table)
    assert columns["image"] == list(table["image"])
    np.testing.assert_array_equal(columns["label"], table["label"])
    for name in ("ecd_um", "aspect_ratio", "orientation_deg", "mean_grey"):
        np.testing.assert_allclose(columns[name], table[name], rtol=3e-4, equal_nan=True)
    borders = ["yes" if cut else "no" for cut in table["touches_border"]]
    assert columns["touches_border"] == borders
    hosts = ["" if pd.isna(host) else host for host in table["host"]]
    assert columns["host"] == hosts
    assert "" in hosts
    assert "mean_confidence" not in columns  # nothing in it


def test_a_hundred_thousand_rows_stay_small(field: Any) -> None:
    table = read_tables(field.table).instances
    rng = np.random.default_rng(0)
    many = table.iloc[rng.integers(0, len(table), 100_000)].reset_index(drop=True)
    for name in ("ecd_um", "area_um2", "feret_max_um", "nearest_neighbour_um"):
        many[name] = rng.lognormal(0, 1, 100_000)
    assert len(pack_rows(many)[0]) < 4_000_000


def test_no_objects(field: Any) -> None:
    table = read_tables(field.table).instances.iloc[:0]
    assert {len(column) for column in unpack(table).values()} == {0}


def test_the_largest_stand_first(field: Any) -> None:
    text = field.page.read_text("utf-8")
    static = text[text.index('<div class="scroll static">') :]
    place = [title for _, title, _ in SHOWN].index("area (µm²)")
    areas = [
        float(re.findall("<td>(.*?)</td>", row)[place].replace(",", ""))
        for row in re.findall("<tr>(<td>.*?)</tr>", static[: static.index("</table>")])
    ]
    assert len(areas) == 25
    assert areas == sorted(areas, reverse=True)
    largest = read_tables(field.table).instances["area_um2"].max()
    assert areas[0] == pytest.approx(largest, rel=5e-3)
