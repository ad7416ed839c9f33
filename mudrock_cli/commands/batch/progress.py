"""What a batch says: progress on stderr, a closing table or JSON lines on stdout."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mudrock_cli.commands.batch.narration import MOST_ROWS, Narration, shorten
from mudrock_cli.commands.log.events import note
from mudrock_cli.errors import MudrockError

_LEAST_NAME, _MOST_NAME = 8, 32  # characters of a name in the closing table
_UNLIKE = "*"  # marks a mask whose image lies outside what the model knows


@dataclass(frozen=True)
class Column:
    """A column of the closing table: its heading, and its text made from an image's facts."""

    heading: str
    text: Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True)
class Outcome:
    """What became of one input.

    Parameters
    ----------
    input : Path
        The file.
    status : str
        ``done``, ``skipped`` (its mask was there already) or ``failed``.
    mask : Path or None
        The mask, where there is one.
    facts : Mapping
        Figures of the mask, JSON-able.
    seconds : float
        How long it took.
    error : MudrockError or None
        Why it failed.
    """

    input: Path
    status: Literal["done", "skipped", "failed"]
    mask: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    error: MudrockError | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the line of ``--json``."""
        line: dict[str, Any] = {"input": str(self.input), "status": self.status}
        if self.error is not None:
            line |= {"error": self.error.message, "hint": self.error.hint}
        else:
            line |= {"mask": str(self.mask), **self.facts}
        return line | {"seconds": round(self.seconds, 3)}


class Narrator(Narration):
    """Tells a batch of masks.

    Parameters
    ----------
    total : int
        Number of inputs.
    json_lines : bool
        Write a JSON line per input on stdout in place of the closing table.
    columns : sequence of Column
        Of the closing table, between the name and the status.
    """

    def __init__(self, total: int, *, json_lines: bool, columns: Sequence[Column]) -> None:
        super().__init__("images", total, json_lines=json_lines)
        self.outcomes: list[Outcome] = []
        self._columns = columns

    def add(self, outcome: Outcome) -> None:
        """Take in what became of an input, and say so if it failed."""
        self.outcomes.append(outcome)
        self.count()
        told = outcome.to_json()
        note("image", **told | {"input": outcome.input, "mask": outcome.mask})
        if outcome.error is not None:
            self.tell_error(outcome.error)
        if self.json_lines:
            self.write_line(told)

    def close(self, out: Path, seconds: float) -> None:
        """Print the closing table and the sum of all; the sum alone, to stderr, with JSON."""
        self.end()
        counts = Counter(outcome.status for outcome in self.outcomes)
        told = [f"{counts['done']} new"]
        told += [f"{counts['skipped']} there already"] if counts["skipped"] else []
        told += [f"{counts['failed']} failed"] if counts["failed"] else []
        finished = counts["done"] + counts["skipped"]
        noun = "mask" if finished == 1 else "masks"
        line = f"{finished} {noun} in {out} ({', '.join(told)}; {seconds:.1f} s)"
        if self.json_lines:
            self.stderr.print(Text(line))
            return
        stdout = Console(highlight=False)
        stdout.print(self._lay_table(stdout.width))
        sources = Counter(
            str(outcome.facts.get("pixel_size_source") or "none")
            for outcome in self.outcomes
            if outcome.error is None
        )
        if sources:
            shown = "; ".join(f"{source} ({count})" for source, count in sources.most_common())
            stdout.print(Text(f"pixel sizes from: {shown}"))
        unlike = Counter(name for outcome in self.outcomes for name in _outside(outcome))
        if unlike:
            shown = ", ".join(
                f"{name.replace('_', ' ')} ({count})" for name, count in unlike.most_common()
            )
            stdout.print(Text(f"{_UNLIKE} unlike what the model was trained on: {shown}"))
        stdout.print(Text(line), soft_wrap=True)

    def _lay_table(self, width: int) -> Table:
        """Lay out the closing table: names are cut, figures never are."""
        left_out = len(self.outcomes) - MOST_ROWS
        shown = self.outcomes[: MOST_ROWS if left_out > 1 else None]
        headings = [*(column.heading for column in self._columns), "s", "status"]
        rows = [self._cells(outcome) for outcome in shown]
        widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
        room = max(width - sum(widths) - 2 * len(widths), _LEAST_NAME)
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("image", no_wrap=True)
        for heading, least in zip(headings, widths, strict=True):
            justify: Literal["left", "right"] = "left" if heading == "status" else "right"
            table.add_column(heading, justify=justify, no_wrap=True, min_width=least)
        for outcome, cells in zip(shown, rows, strict=True):
            table.add_row(Text(shorten(outcome.input.name, min(room, _MOST_NAME))), *cells)
        if left_out > 1:
            table.add_row(f"and {left_out} more")
        return table

    def _cells(self, outcome: Outcome) -> list[str]:
        failed = outcome.status == "failed"
        cells = ["" if failed else column.text(outcome.facts) for column in self._columns]
        mark = f" {_UNLIKE}" if _outside(outcome) else ""
        return [*cells, f"{outcome.seconds:.1f}", f"{outcome.status}{mark}"]


def _outside(outcome: Outcome) -> Sequence[str]:
    """Return the figures by which an image lies outside what the model knows."""
    names: Sequence[str] = outcome.facts.get("outside_domain", ())
    return names
