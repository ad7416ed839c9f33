"""Writing and reading the tables that users keep: ``report.parquet``, ``report.summary.parquet``.

A table is written beside its place and moved there when it is whole.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import pyarrow as pa
import pyarrow.parquet as pq

from mudrock_cli import __version__
from mudrock_cli.errors import MudrockError, describe
from mudrock_cli.files import fsync, hash_file, part_path
from mudrock_cli.measure.schema import INSTANCES, SUMMARY, check_schema, make_schema, pack_values

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
    return report.with_name(f"{report.name.removesuffix('.parquet')}.summary.parquet")


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
        Of the instance table, ending in ``.parquet``; an earlier report is replaced.
    options : mapping
        How the tables are made; values that JSON can hold.

    Raises
    ------
    MudrockError
        If the tables cannot be written there.
    """

    def __init__(self, path: Path, options: Mapping[str, Any]) -> None:
        self._facts = {"software": "mudrock", "version": __version__, "options": dict(options)}
        self._schema = make_schema(INSTANCES, "instances", self._facts)
        self._places = {"instances": path, "summary": summary_path(path)}
        self._parts = {kind: part_path(place) for kind, place in self._places.items()}
        self._pending: list[pa.Table] = []
        self._rows: list[dict[str, Any]] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._open("instances", self._schema)
        except OSError as error:
            raise self._refuse(error) from error

    def add_instances(self, rows: Rows) -> None:
        """Take in the instances of one image; many are written group by group."""
        begun = sum(part.num_rows for part in self._pending)
        if begun + rows.num_rows < _GROUP_ROWS:
            self._pending.append(rows.slice())
            return
        for start in range(-begun, rows.num_rows, _GROUP_ROWS):
            first, end = max(start, 0), min(start + _GROUP_ROWS, rows.num_rows)
            self._pending.append(rows.slice(first, end - first))
            self._flush()

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
        schema = make_schema(SUMMARY, "summary", facts)
        with self._open("summary", schema) as writer:
            arrays = [
                pack_values([row.get(column.name) for row in self._rows], column.type)
                for column in SUMMARY
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
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
            self._writer.write_table(joined, row_group_size=_GROUP_ROWS)
        except OSError as error:
            raise self._refuse(error) from error

    def _open(self, kind: str, schema: pa.Schema) -> pq.ParquetWriter:
        return pq.ParquetWriter(
            self._parts[kind],
            schema,
            compression="zstd",
            write_page_checksum=True,  # a flipped bit is another porosity otherwise
        )

    def _refuse(self, error: OSError) -> MudrockError:
        return MudrockError(
            f"{self._places['instances']}: cannot be written ({describe(error)})",
            "choose another --out, or make room",
        )


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
