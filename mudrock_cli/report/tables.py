"""Everything that ``mudrock stats`` wrote, sorted by what it is about."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from mudrock_cli.errors import MudrockError
from mudrock_cli.measure.tables.tables import check_pair, read_table, summary_path

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Tables:
    """What a report is made from.

    Parameters
    ----------
    path : Path
        The instance table's file.
    instances : pyarrow.Table
        A row per object.
    images : sequence of Row
        Summary row of each image.
    groups, comparisons : sequence of Row
        Summary rows of groups and of pairs of groups.
    pooled : Row
        Summary row of all images together.
    facts : mapping
        The ``mudrock`` key of the file's metadata: software, version, options.
    """

    path: Path
    instances: pa.Table
    images: Sequence[Row]
    groups: Sequence[Row]
    comparisons: Sequence[Row]
    pooled: Row
    facts: Mapping[str, Any]

    def locate(self, path: str) -> Path:
        """Return where a path of the summary leads, from the folder of the tables."""
        return self.path.parent / path


def read_provenance(row: Row) -> dict[str, Any]:
    """Return how the mask of a summary row was made; nothing where that cannot be read."""
    try:
        told = json.loads(row["provenance"] or "{}")
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def read_tables(path: Path) -> Tables:
    """Read an instance table and the summary beside it.

    Parameters
    ----------
    path : Path
        ``report.parquet``.

    Raises
    ------
    MudrockError
        If a file is missing, no Parquet, of another schema or version, without a column, or
        about no image at all.
    """
    beside = summary_path(path)
    for place in (path, beside):
        if not place.is_file():
            raise MudrockError(
                f"{place}: not there",
                "give the report.parquet of mudrock stats, with report.summary.parquet beside it",
            )
    instances, facts = read_table(path, "instances")
    summary, beside_facts = read_table(beside, "summary")
    check_pair(path, beside_facts)
    rows: dict[str, list[Row]] = {}
    for row in summary.to_pylist():
        rows.setdefault(row["scope"], []).append(row)
    images = rows.get("image", [])
    if not images:
        raise MudrockError(f"{beside}: no image in the summary", "run mudrock stats on masks first")
    return Tables(
        path=path,
        instances=instances,
        images=images,
        groups=rows.get("group", []),
        comparisons=rows.get("comparison", []),
        pooled=rows["pooled"][0] if rows.get("pooled") else images[0],
        facts=facts,
    )
