"""The one schema: every column of the tables that users keep, with what it means.

A name ends in its unit; a share or a ratio has none. What stands here goes into the metadata of
each Parquet field, so that a table explains itself.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from mudrock_cli.errors import MudrockError
from mudrock_cli.measure.tables.arrow import TYPES

VERSION = 1
"""Version of the schema; it rises when a column changes its name, type or meaning."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    name : str
        Its name, ending in the unit.
    type : str
        ``str``, ``category``, ``bool``, ``int``, ``uint``, ``float``, or a list: ``floats``,
        ``strs``.
    unit : str
        Unit; ``1`` for counts, shares and ratios, empty for what is no number.
    meaning : str
        What it holds.
    formula : str
        How it is computed, where that is not said by the meaning.
    citation : str
        Where the formula is from.
    """

    name: str
    type: str
    unit: str
    meaning: str
    formula: str = ""
    citation: str = ""

    def to_field(self) -> pa.Field:
        """Return the Arrow field, its metadata included."""
        told = {
            "unit": self.unit,
            "meaning": self.meaning,
            "formula": self.formula,
            "citation": self.citation,
        }
        metadata = {key: value for key, value in told.items() if value}
        return pa.field(self.name, TYPES[self.type], metadata=metadata)


def make_schema(columns: Sequence[Column], kind: str, facts: Mapping[str, Any]) -> pa.Schema:
    """Return the Arrow schema of a table.

    Parameters
    ----------
    columns : sequence of Column
        Its columns.
    kind : str
        ``instances`` or ``summary``.
    facts : mapping
        What else belongs under the ``mudrock`` key of the file's metadata: software, options;
        values that JSON can hold.
    """
    told = {"schema": kind, "schema_version": VERSION, **facts}
    metadata = {"mudrock": json.dumps(told, sort_keys=True, ensure_ascii=False)}
    return pa.schema([column.to_field() for column in columns], metadata=metadata)


def check_schema(schema: pa.Schema, columns: Sequence[Column], kind: str, name: str) -> Any:
    """Check that a table is of this schema, and return its ``mudrock`` facts.

    Parameters
    ----------
    schema : pyarrow.Schema
        What a file has.
    columns : sequence of Column
        What it should have at least.
    kind : str
        ``instances`` or ``summary``.
    name : str
        The file, for messages.

    Raises
    ------
    MudrockError
        If it is another file, another version of the schema, or a column is missing or of
        another type.
    """
    hint = "make it anew with mudrock stats"
    try:
        facts = json.loads((schema.metadata or {})[b"mudrock"])
        found, version = facts["schema"], facts["schema_version"]
    except (KeyError, TypeError, ValueError) as error:
        raise MudrockError(f"{name}: no table of mudrock stats", hint) from error
    if found != kind:
        raise MudrockError(f"{name}: a table of {found}, not of {kind}", f"give the {kind} table")
    if version != VERSION:
        raise MudrockError(f"{name}: version {version} of the schema, not {VERSION}", hint)
    for column in columns:
        index = schema.get_field_index(column.name)
        if index < 0:
            raise MudrockError(f"{name}: the column {column.name} is missing", hint)
        wanted, there = TYPES[column.type], schema.field(index).type
        if there != wanted:
            raise MudrockError(f"{name}: the column {column.name} is {there}, not {wanted}", hint)
    return facts
