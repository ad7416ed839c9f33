"""A split as a table: name, part, parent and the hashes of the files."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from mudrock_cli.deeplab.data.dataset import Sample
from mudrock_cli.deeplab.data.split import PARTS, Split, find_parents
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.placement import write_text
from mudrock_cli.image.texts import read_rows

_COLUMNS = ("name", "part", "parent", "image_sha256", "label_sha256")


def read_split(path: Path, samples: Sequence[Sample]) -> Split:
    """Read a split that was recorded or written by hand.

    Parameters
    ----------
    path : Path
        CSV with the columns ``name`` (of a file or of a parent) and ``part``; hashes, where they
        stand there, must be those of the files.
    samples : sequence of Sample
        All of them.

    Raises
    ------
    MudrockError
        If it is no such table, leaves a sample out, or a file has changed since.
    """
    rows = read_rows(path, "a CSV: name,part")
    told = {row.get("name") or "": row for row in rows}
    wrong = sorted({row.get("part") or "" for row in rows} - set(PARTS))
    if not rows or wrong or "" in told:
        reason = (
            f"part {wrong[0][:60]!r} is unknown" if rows and wrong else "no rows with name,part"
        )
        raise MudrockError(f"{path}: {reason}", f"parts are {', '.join(PARTS)}")
    parent = find_parents(samples)
    part = {}
    for sample in samples:
        row = told.get(sample.name) or told.get(parent[sample.name])
        if row is None:
            raise MudrockError(f"{path}: has no row for {sample.name}", "add it, or its parent")
        if row.get("image_sha256") and row["name"] == sample.name:
            _check_hashes(path, row, sample)
        part[sample.name] = str(row["part"])
    if "train" not in part.values():
        raise MudrockError(f"{path}: gives no file to train")
    return Split("file", part, parent)


def write_split(path: Path, split: Split, samples: Sequence[Sample]) -> None:
    """Record a split with the hash of every file, so that it can be given again."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for sample in samples:
        table.writerow(
            [sample.name, split.part[sample.name], split.parent[sample.name], *sample.files]
        )
    write_text(path, text.getvalue())


def _check_hashes(path: Path, row: Mapping[str, str], sample: Sample) -> None:
    recorded = (row.get("image_sha256"), row.get("label_sha256"))
    if recorded != sample.files:
        raise MudrockError(
            f"{sample.name}: is not the file that {path} recorded (SHA-256 differs)",
            "give the data of that split, or split anew",
        )
