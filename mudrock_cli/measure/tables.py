"""Writing and reading the tables that users keep: ``report.parquet``, ``report.summary.parquet``.

A table is written beside its place and moved there when it is whole. CSV and Excel hold the same
columns; only Parquet is read again.
"""

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mudrock_cli import __version__
from mudrock_cli.errors import MudrockError, describe
from mudrock_cli.files import fsync, hash_file, part_path
from mudrock_cli.measure.schema import (
    INSTANCES,
    SUMMARY,
    Column,
    check_schema,
    make_schema,
    pack_numbers,
    pack_values,
    pack_words,
)

FORMATS = (".parquet", ".csv", ".xlsx")
"""What the name of an instance table may end in."""
_SHEET_ROWS = 1_048_575  # of an Excel sheet, its heading left out
_GROUP_ROWS = 1 << 17
"""Rows of a row group: few images together, a large one in several."""

_PARTNER = "instances_sha256"
_HINT = "make it anew with mudrock stats"
_VALUE_BYTES = 8
_SUSPICIOUS_BYTES = 1 << 28
_SUSPICIOUS_RATIO = 100  # of what mudrock writes: about 2

_COLUMNS = {"instances": INSTANCES, "summary": SUMMARY}


def summary_path(report: Path) -> Path:
    """Return where the summary that goes with an instance table stands."""
    ending = report.suffix if report.suffix.lower() in FORMATS else ""
    return report.with_name(f"{report.name.removesuffix(ending)}.summary{ending or '.parquet'}")


class Rows(Protocol):
    """Rows of a table, at hand or made when they are asked for."""

    @property
    def num_rows(self) -> int:
        """How many."""

    def slice(self, offset: int = 0, length: int | None = None) -> pa.Table:
        """Return `length` rows from `offset` on."""


class ReportWriter:
    """Writes both tables of a report; they appear together, whole, or not at all.

    Parameters
    ----------
    path : Path
        Of the instance table, ending in one of `FORMATS`; an earlier report is replaced.
    options : mapping
        How the tables are made; values that JSON can hold.
    extra : sequence of Column
        More columns of both tables, behind the others: numbers (``float``) or words (``category``).

    Raises
    ------
    MudrockError
        If the tables cannot be written there.
    """

    def __init__(
        self, path: Path, options: Mapping[str, Any], extra: Sequence[Column] = ()
    ) -> None:
        self._facts = {"software": "mudrock", "version": __version__, "options": dict(options)}
        self._extra = tuple(extra)
        self._schema = make_schema((*INSTANCES, *extra), "instances", self._facts)
        self._places = {"instances": path, "summary": summary_path(path)}
        self._parts = {kind: part_path(place) for kind, place in self._places.items()}
        self._pending: list[pa.Table] = []
        self._rows: list[dict[str, Any]] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._open("instances", self._schema)
        except OSError as error:
            raise self._refuse(error) from error

    def add_instances(self, rows: Rows, values: Mapping[str, Any] | None = None) -> None:
        """Take in the instances of one image, and what all of them have in the extra columns.

        Many are written group by group.
        """
        begun = sum(part.num_rows for part in self._pending)
        if begun + rows.num_rows < _GROUP_ROWS:
            self._pending.append(self._extend(rows.slice(), values or {}))
            return
        for start in range(-begun, rows.num_rows, _GROUP_ROWS):
            first, end = max(start, 0), min(start + _GROUP_ROWS, rows.num_rows)
            self._pending.append(self._extend(rows.slice(first, end - first), values or {}))
            self._flush()

    def _extend(self, table: pa.Table, values: Mapping[str, Any]) -> pa.Table:
        for column in self._extra:
            value, number = values.get(column.name), table.num_rows
            known = np.full(number, value is not None)
            if column.type == "float":
                array = pack_numbers(np.full(number, value or 0.0), "float", known)
            else:
                array = pack_words(np.zeros(number, np.int32), [value or ""], known)
            table = table.append_column(column.to_field(), array)
        return table

    def add_summary(self, row: Mapping[str, Any]) -> None:
        """Take in a row of the summary; columns that it lacks become null."""
        self._rows.append(dict(row))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._finish()
        except OSError as trouble:
            raise self._refuse(trouble) from trouble
        finally:
            with contextlib.suppress(OSError):
                self._writer.close()
            for part in self._parts.values():
                with contextlib.suppress(OSError):
                    part.unlink(missing_ok=True)

    def _finish(self) -> None:
        self._flush()
        self._writer.close()
        facts = self._facts | {_PARTNER: hash_file(self._parts["instances"])}
        columns = (*SUMMARY, *self._extra)
        schema = make_schema(columns, "summary", facts)
        arrays = [
            pack_values([row.get(column.name) for row in self._rows], column.type)
            for column in columns
        ]
        writer = self._open("summary", schema)
        writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        writer.close()
        for part in self._parts.values():
            fsync(part)
        for kind, place in self._places.items():
            self._parts[kind].replace(place)

    def _flush(self) -> None:
        tables = [table.replace_schema_metadata(None) for table in self._pending]
        self._pending = []
        if not tables:
            return
        joined = pa.concat_tables(tables).cast(self._schema)
        try:
            self._writer.write_table(joined)
        except OSError as error:
            raise self._refuse(error) from error

    def _open(self, kind: str, schema: pa.Schema) -> Any:
        """Return what takes tables with `write_table`, and is closed at the end."""
        writers: dict[str, Callable[..., Any]] = {".csv": _CsvWriter, ".xlsx": _ExcelWriter}
        # Without the checksum a flipped bit is another porosity.
        parquet = partial(pq.ParquetWriter, compression="zstd", write_page_checksum=True)
        ending = self._places["instances"].suffix.lower()
        return writers.get(ending, parquet)(self._parts[kind], schema)

    def _refuse(self, error: OSError) -> MudrockError:
        return MudrockError(
            f"{self._places['instances']}: cannot be written ({describe(error)})",
            "choose another --out, or make room",
        )


class _CsvWriter:
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        from pyarrow import csv

        self._writer = csv.CSVWriter(path, _flatten(schema.empty_table()).schema)

    def write_table(self, table: pa.Table) -> None:
        self._writer.write_table(_flatten(table))

    def close(self) -> None:
        self._writer.close()


class _ExcelWriter:
    """A workbook with the table, and a sheet that says what its columns mean."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        import xlsxwriter

        plain = {"strings_to_formulas": False, "strings_to_urls": False}
        self._book = xlsxwriter.Workbook(path, {"constant_memory": True, **plain})
        self._book.set_properties({"created": datetime(2000, 1, 1)})  # the same bytes again
        bold = self._book.add_format({"bold": True})
        self._sheet, meanings = (self._book.add_worksheet(name) for name in ("table", "columns"))
        told = ("unit", "meaning", "formula", "citation")
        meanings.write_row(0, 0, ("column", *told), bold)
        for place, field in enumerate(schema):
            metadata = field.metadata or {}
            texts = [metadata.get(name.encode(), b"").decode() for name in told]
            self._sheet.write_string(0, place, field.name, bold)
            meanings.write_row(place + 1, 0, (field.name, *texts))
        self._sheet.freeze_panes(1, 0)
        self._rows = 0

    def write_table(self, table: pa.Table) -> None:
        if self._rows + table.num_rows > _SHEET_ROWS:
            raise MudrockError(
                f"an Excel sheet ends at {_SHEET_ROWS} rows", "use --out with .csv or .parquet"
            )
        for row in zip(*(column.to_pylist() for column in _flatten(table).columns), strict=True):
            self._rows += 1
            for place, value in enumerate(row):
                if value is not None:
                    self._sheet.write(self._rows, place, value)

    def close(self) -> None:
        from xlsxwriter.exceptions import XlsxWriterException

        book, self._book = self._book, None
        try:
            if book is not None:  # a second call finds nothing to do
                book.close()
        except XlsxWriterException as error:
            raise OSError(str(error)) from error


def _flatten(table: pa.Table) -> pa.Table:
    """Return a table without nested columns: lists as JSON, categories as words."""
    arrays = []
    for column in table.columns:
        if pa.types.is_list(column.type):
            texts = [
                None if values is None else json.dumps(values, ensure_ascii=False)
                for values in column.to_pylist()
            ]
            arrays.append(pack_values(texts, "str"))
        elif pa.types.is_dictionary(column.type):
            arrays.append(column.cast(pa.string()))
        else:
            arrays.append(column)
    return pa.Table.from_arrays(arrays, names=table.column_names)


def check_pair(instances: Path, summary_facts: Mapping[str, Any]) -> None:
    """Check that an instance table is the one that its summary was written with.

    Two files cannot be replaced at one moment: a run that was killed between them, or two runs
    into one place, would leave tables of different masks side by side.

    Raises
    ------
    MudrockError
        If it is another one.
    """
    expected = summary_facts.get(_PARTNER)
    if expected is not None and hash_file(instances) != expected:
        raise MudrockError(
            f"{instances}: the summary beside it is of another run", "run mudrock stats again"
        )


def read_table(path: Path, kind: str) -> tuple[pa.Table, dict[str, Any]]:
    """Read a table of a report.

    Parameters
    ----------
    path : Path
        The file.
    kind : {"instances", "summary"}
        Which table it should be.

    Returns
    -------
    table : pyarrow.Table
        The table; columns that its version of the schema lacked are null.
    facts : dict
        What stands under ``mudrock`` in its metadata: software, version, options.

    Raises
    ------
    MudrockError
        If it cannot be read, is another table, or a later version of the schema.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            _check_size(path, file.metadata)
            facts = check_schema(file.schema_arrow, _COLUMNS[kind], kind, str(path))
            table = file.read()
        table.validate(full=True)
        for column in _COLUMNS[kind]:
            if column.name not in table.column_names:
                nothing = pack_values([None] * table.num_rows, column.type)
                table = table.append_column(column.to_field(), nothing)
    except MudrockError:
        raise
    except Exception as error:  # damaged files raise many kinds
        raise MudrockError(f"{path}: no Parquet table ({describe(error)})", _HINT) from error
    return table, facts


def _check_size(path: Path, metadata: pq.FileMetaData) -> None:
    """Refuse a file that unfolds beyond reason: runs of one value take next to no bytes."""
    values = sum(
        metadata.row_group(group).column(column).num_values
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    )
    promised = _VALUE_BYTES * max(values, metadata.num_rows * metadata.num_columns)
    stored = path.stat().st_size
    if promised > _SUSPICIOUS_BYTES and promised > _SUSPICIOUS_RATIO * stored:
        raise MudrockError(
            f"{path}: {stored / 1e6:.1f} MB promise {promised / 1e6:.0f} MB of a table", _HINT
        )
