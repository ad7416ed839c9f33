"""What `stats` says: progress and troubles on stderr, a closing table or JSON lines on stdout."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mudrock_cli.commands.batch.narration import MOST_ROWS, Narration, shorten
from mudrock_cli.commands.log.events import note
from mudrock_cli.errors import MudrockError

Row = Mapping[str, Any]
_LOGGED = ("scope", "image", "width_px", "height_px", "pixel_size_nm", "pores", "silt_grains")


class StatsNarrator(Narration):
    """Tells a run of `stats`.

    Parameters
    ----------
    total : int
        Number of masks.
    json_lines : bool
        Write a JSON line per row of the summary, and per failure, in place of the table.
    """

    def __init__(self, total: int, *, json_lines: bool) -> None:
        super().__init__("masks", total, json_lines=json_lines)
        self.failures = 0
        self._rows: list[Row] = []

    def fail(self, name: str, error: MudrockError) -> None:
        """Say that a mask is left out, and why."""
        self.failures += 1
        self.tell_error(error)
        if self.json_lines:
            self.write_line({"input": name, "error": error.message, "hint": error.hint})

    def add(self, row: Row, seconds: float | None = None) -> None:
        """Take in a row of the summary, and how long it took."""
        self._rows.append(row)
        note("row", **{key: row.get(key) for key in _LOGGED}, seconds=seconds)
        if self.json_lines:
            # Curves are for the Parquet file; a line has figures.
            plain = {key: _plain(value) for key, value in row.items() if key != "provenance"}
            self.write_line({key: value for key, value in plain.items() if _is_figure(value)})

    def close(self, told: Sequence[str]) -> None:
        """Print the closing table and the lines `told` after it; those to stderr with JSON."""
        self.end()
        console = self.stderr if self.json_lines else Console(highlight=False)
        if self._rows and not self.json_lines:
            console.print(_lay_table(self._rows))
        for line in told:
            console.print(Text(line), soft_wrap=True)


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
    left_out = len(images) - MOST_ROWS
    shown = images[: MOST_ROWS if left_out > 1 else None]
    for row in shown:
        table.add_row(Text(shorten(row["image"], 22)), *_cells(row))
    if left_out > 1:
        table.add_row(f"and {left_out} more")
    for row in pooled if len(images) > 1 else ():
        name = row.get("group") or f"all {row['images']} images"
        table.add_row(Text(shorten(name, 22), style="bold"), *_cells(row))
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
