"""What `stats` says: progress and troubles on stderr, a closing table or JSON lines on stdout."""

import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from mudrock_cli.errors import MudrockError

Row = Mapping[str, Any]
_MOST_ROWS = 40  # of the closing table; a thousand rows tell nobody anything


class StatsNarrator:
    """Tells a run of `stats`.

    Parameters
    ----------
    total : int
        Number of masks.
    json_lines : bool
        Write a JSON line per row of the summary, and per failure, in place of the table.
    """

    def __init__(self, total: int, *, json_lines: bool) -> None:
        self.failures = 0
        self._rows: list[Row] = []
        self._warnings: Counter[str] = Counter()
        self._json_lines = json_lines
        self._stderr = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._stderr,
            disable=not self._stderr.is_terminal,
            transient=True,
        )
        self._batch = self._bars.add_task("masks", total=total)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    @contextmanager
    def image(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """Show a bar of rows for one mask; yields ``advance(done, total)``."""
        task = self._bars.add_task(escape(_shorten(name, 30)), total=None)
        try:
            yield lambda done, total: self._bars.update(task, completed=done, total=total)
        finally:
            self._bars.remove_task(task)
            self._bars.advance(self._batch)

    def warn(self, kind: str, message: str) -> None:
        """Say a line that stops nothing; of many of one kind, only the first and their number."""
        if kind not in self._warnings:
            self._stderr.print(Text(f"warning: {message}"))
        self._warnings[kind] += 1

    def fail(self, name: str, error: MudrockError) -> None:
        """Say that a mask is left out, and why."""
        self.failures += 1
        hint = f"; {error.hint}" if error.hint else ""
        self._stderr.print(Text(f"error: {error.message}{hint}"))
        if self._json_lines:
            self._write({"input": name, "error": error.message, "hint": error.hint})

    def add(self, row: Row) -> None:
        """Take in a row of the summary."""
        self._rows.append(row)
        if self._json_lines:
            # Curves are for the Parquet file; a line has figures.
            plain = {key: _plain(value) for key, value in row.items() if key != "provenance"}
            self._write({key: value for key, value in plain.items() if _is_figure(value)})

    def close(self, told: Sequence[str]) -> None:
        """Print the closing table and the lines `told` after it; those to stderr with JSON."""
        self._bars.stop()
        for kind, count in self._warnings.items():
            if count > 1:
                self._stderr.print(Text(f"warning: {count} images in all: {kind}"))
        console = self._stderr if self._json_lines else Console(highlight=False)
        if self._rows and not self._json_lines:
            console.print(_lay_table(self._rows))
        for line in told:
            console.print(Text(line), soft_wrap=True)

    def _write(self, line: Mapping[str, Any]) -> None:
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        sys.stdout.flush()


def _plain(value: Any) -> Any:
    """Return a value of NumPy's as one of Python's, NaN as None."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return None if isinstance(value, float) and math.isnan(value) else value


def _is_figure(value: Any) -> bool:
    """Return whether a value is no curve; warnings are words and stay."""
    return not isinstance(value, list) or all(isinstance(item, str) for item in value)


def _lay_table(rows: Sequence[Row]) -> Table:
    """Lay out the rows of images and what they are pooled to; it fits in 80 columns."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("image", no_wrap=True)
    for heading in ("porosity %", "silt %", "pores", "D50 µm", "grains", "D50 µm"):
        table.add_column(heading, justify="right", no_wrap=True)
    images = [row for row in rows if row["scope"] == "image"]
    pooled = [row for row in rows if row["scope"] in ("group", "pooled")]
    left_out = len(images) - _MOST_ROWS
    shown = images[: _MOST_ROWS if left_out > 1 else None]
    for row in shown:
        table.add_row(Text(_shorten(row["image"], 22)), *_cells(row))
    if left_out > 1:
        table.add_row(f"and {left_out} more")
    for row in pooled if len(images) > 1 else ():
        name = row.get("group") or f"all {row['images']} images"
        table.add_row(Text(_shorten(name, 22), style="bold"), *_cells(row))
    return table


def _cells(row: Row) -> list[str]:
    """Return the cells of a row: shares with half their intervals, counts, diameters by area."""
    return [
        _share(row, "porosity"),
        _share(row, "silt_fraction"),
        str(row["pores"]),
        _number(row["pore_ecd_d50_area_um"]),
        str(row["silt_grains"]),
        _number(row["silt_ecd_d50_area_um"]),
    ]


def _share(row: Row, name: str) -> str:
    half = 50 * (row[f"{name}_high"] - row[f"{name}_low"])
    margin = "" if math.isnan(half) else f" ±{half:.1f}"
    return f"{100 * row[name]:.1f}{margin}"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3g}"


def _shorten(name: str, width: int) -> str:
    return name if len(name) <= width else f"…{name[1 - width :]}"
