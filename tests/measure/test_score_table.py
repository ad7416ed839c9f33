"""The table of scores: one row per image, mean and pooled rows per split, nulls and units."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.measure.schema import SCORES
from mudrock_cli.measure.scores import (
    ImageScores,
    Scores,
    describe_scores,
    score_mask,
    tabulate_scores,
    write_scores,
)


def score(wrong: int, **options: float) -> Scores:
    truth = np.zeros((10, 10), np.uint8)
    truth[:5] = 1
    prediction = truth.copy()
    prediction[9, :wrong] = 1
    masks = [PhaseMask.from_array("mask", mask) for mask in (truth, prediction)]
    return score_mask(*masks, tolerance=1, **options)


IMAGES = [
    ImageScores("model", "a", "train", score(0)),
    ImageScores("model", "b", "test", score(10)),
    ImageScores("model", "c", "test", score(5)),
]


def test_every_described_value_has_a_column() -> None:
    names = [column.name for column in SCORES]
    assert len(set(names)) == len(names)
    head = ["level", "method", "split", "image", "images"]
    assert sorted(names) == sorted([*head, *describe_scores(score(1))])


def test_rows_by_level_and_split() -> None:
    rows = tabulate_scores(IMAGES)
    found = [(row["level"], row["split"], row["images"]) for row in rows]
    assert found == [
        ("image", "train", 1),
        ("image", "test", 1),
        ("image", "test", 1),
        ("mean", "all", 3),
        ("pooled", "all", 3),
        ("mean", "train", 1),
        ("pooled", "train", 1),
        ("mean", "test", 2),
        ("pooled", "test", 2),
    ]
    assert rows[7]["iou_silt"] == pytest.approx((50 / 60 + 50 / 55) / 2)
    assert rows[8]["iou_silt"] == pytest.approx(100 / 115)
    assert rows[3]["absent_pore"] == 3


def test_two_methods_without_a_split() -> None:
    images = [ImageScores(method, "a", None, score(3)) for method in ("one", "other")]
    rows = tabulate_scores(images)
    assert [(row["level"], row["method"]) for row in rows] == [
        ("image", "one"),
        ("image", "other"),
        ("mean", "one"),
        ("pooled", "one"),
        ("mean", "other"),
        ("pooled", "other"),
    ]


def test_parquet_round_trip(tmp_path: Path) -> None:
    rows = tabulate_scores(IMAGES)
    write_scores(tmp_path / "scores.parquet", rows, {"tolerance_px": 1})
    table = pq.read_table(tmp_path / "scores.parquet")
    assert b'"tolerance_px": 1' in table.schema.metadata[b"mudrock"]
    field = table.schema.field("fraction_silt_error_points")
    assert field.metadata[b"unit"] == b"percentage points"
    for column in SCORES:
        for row, value in zip(rows, table[column.name].to_pylist(), strict=True):
            expected = row[column.name]
            assert value == (None if expected != expected else expected)
    assert table["iou_pore"].null_count == len(rows)
