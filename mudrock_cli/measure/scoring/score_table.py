"""Scores of many images by several methods as one table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mudrock_cli.image.placement import placing
from mudrock_cli.measure.scoring.score_columns import SCORES
from mudrock_cli.measure.scoring.scores import (
    Scores,
    Values,
    average_values,
    describe_scores,
    pool_scores,
)
from mudrock_cli.measure.tables.columns import make_schema

SPLITS = ("train", "validation", "test", "unknown")
"""Splits in the order of the table; ``unknown``: images that the model's split does not name."""
ALL = "all"


@dataclass(frozen=True)
class ImageScores:
    """The scores of one image by one method.

    Parameters
    ----------
    method : str
        A model's name, or that of a folder of masks.
    image : str
        Name of the label.
    split : str or None
        Where the image stood when the model was trained; None when nothing is known.
    scores : Scores
        What was counted.
    """

    method: str
    image: str
    split: str | None
    scores: Scores


def tabulate_scores(images: Sequence[ImageScores]) -> list[Values]:
    """Return a row per image, then per method and split a mean and a pooled row.

    Parameters
    ----------
    images : sequence of ImageScores
        All images by all methods.

    Returns
    -------
    list of dict
        With the keys of :data:`SCORES`, in its order.
    """
    described = [(one, describe_scores(one.scores)) for one in images]
    rows: list[Values] = []
    for one, values in described:
        rows.append(_head("image", one.method, one.split, one.image, 1) | values)
    for method in dict.fromkeys(one.method for one in images):
        ours = [(one, values) for one, values in described if one.method == method]
        known = {one.split for one, _ in ours}
        for split in (ALL, *(name for name in SPLITS if name in known)):
            part = [(one, values) for one, values in ours if split in (ALL, one.split)]
            mean = average_values([values for _, values in part])
            pooled = describe_scores(pool_scores([one.scores for one, _ in part]))
            rows.append(_head("mean", method, split, None, len(part)) | mean)
            rows.append(_head("pooled", method, split, None, len(part)) | pooled)
    return [{column.name: row[column.name] for column in SCORES} for row in rows]


def _head(level: str, method: str, split: str | None, image: str | None, images: int) -> Values:
    return {"level": level, "method": method, "split": split, "image": image, "images": images}


def build_table(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> pa.Table:
    """Return the rows as an Arrow table of the one schema; NaN becomes null.

    Parameters
    ----------
    rows : sequence of dict
        From :func:`tabulate_scores`.
    facts : mapping
        Options and paths for the ``mudrock`` key of the metadata; JSON-able.
    """
    schema = make_schema(SCORES, "scores", facts)
    arrays = [
        pa.array([_to_null(row[column.name]) for row in rows], type=field.type)
        for column, field in zip(SCORES, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def write_scores(path: Path, rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> None:
    """Write the rows as Parquet beside its place, and move the file there.

    Raises
    ------
    MudrockError
        If the file cannot be written.
    """
    with placing(path, "choose another --out, or make room") as part:
        pq.write_table(build_table(rows, facts), part, compression="zstd")


def _to_null(value: float | int | str | None) -> float | int | str | None:
    return None if value != value else value  # NaN differs from itself
