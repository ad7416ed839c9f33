"""What every batch says alike: bars where stderr is a terminal, one line per trouble everywhere."""

import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from mudrock_cli.commands.log import note, note_error
from mudrock_cli.errors import MudrockError

if TYPE_CHECKING:
    from mudrock_cli.deeplab.cross_validation import Campaign
    from mudrock_cli.deeplab.model import TrainedModel
    from mudrock_cli.deeplab.training import Row, Trained


MOST_ROWS = 40
"""Of a closing table; a thousand rows tell nobody anything."""


class Narration:
    """Bars, warnings and errors on stderr, and in the log where one is kept.

    Parameters
    ----------
    noun : str
        What is worked on, for the bar: ``images``.
    total : int
        Number of inputs.
    json_lines : bool
        Say results as JSON lines on stdout, and the rest on stderr.
    """

    def __init__(self, noun: str, total: int, *, json_lines: bool) -> None:
        self.json_lines = json_lines
        self.stderr = Console(stderr=True, highlight=False, soft_wrap=True)
        self._warnings: Counter[str] = Counter()
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.stderr,
            disable=not self.stderr.is_terminal,
            transient=True,
        )
        self._batch = self._bars.add_task(noun, total=total)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    @contextmanager
    def image(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """Show a bar for one image; yields ``advance(done, total)``."""
        task = self._bars.add_task(escape(shorten(name, 30)), total=None)
        try:
            yield lambda done, total: self._bars.update(task, completed=done, total=total)
        finally:
            self._bars.remove_task(task)

    def count(self) -> None:
        """Move the bar of the batch by one input."""
        self._bars.advance(self._batch)

    def warn(self, kind: str, message: str) -> None:
        """Say a line that stops nothing; of many of one kind, only the first and their number."""
        note("warning", kind=kind, message=message)
        if kind not in self._warnings:
            self.stderr.print(Text(f"warning: {message}"))
        self._warnings[kind] += 1

    def tell_error(self, error: MudrockError) -> None:
        """Say in a line why an input failed."""
        note_error(error)
        hint = f"; {error.hint}" if error.hint else ""
        self.stderr.print(Text(f"error: {error.message}{hint}"))

    def write_line(self, line: Mapping[str, Any]) -> None:
        """Write a JSON line on stdout, at once."""
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def end(self) -> None:
        """Remove the bars, and say how many warnings of a kind there were."""
        self._bars.stop()
        for kind, count in self._warnings.items():
            if count > 1:
                self.stderr.print(Text(f"warning: {count} images in all: {kind}"))


def shorten(name: str, width: int) -> str:
    """Return the end of a name that is too long for its column."""
    return name if len(name) <= width else f"…{name[1 - width :]}"


# What a batch says: progress on stderr, a closing table or JSON lines on stdout.

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


# What `stats` says: progress and troubles on stderr, a closing table or JSON lines on stdout.

MaskRow = Mapping[str, Any]
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
        self._rows: list[MaskRow] = []

    def fail(self, name: str, error: MudrockError) -> None:
        """Say that a mask is left out, and why."""
        self.failures += 1
        self.tell_error(error)
        if self.json_lines:
            self.write_line({"input": name, "error": error.message, "hint": error.hint})

    def add(self, row: MaskRow, seconds: float | None = None) -> None:
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


def _lay_table(rows: Sequence[MaskRow]) -> Table:
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


def _cells(row: MaskRow) -> list[str]:
    """Return the cells of a row: shares with half their intervals, counts, diameters by area."""
    return [
        _share(row, "porosity"),
        _share(row, "silt_fraction"),
        str(row["pores"]),
        _number(row["pore_ecd_d50_area_um"]),
        str(row["silt_grains"]),
        _number(row["silt_ecd_d50_area_um"]),
    ]


def _share(row: MaskRow, name: str) -> str:
    half = 50 * (row[f"{name}_high"] - row[f"{name}_low"])
    margin = "" if math.isnan(half) else f" ±{half:.1f}"
    return f"{100 * row[name]:.1f}{margin}"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3g}"


# What a training says: its split, a bar per epoch, a line per epoch, a closing table.

_PHASES = ("clay", "silt", "pore")


class TrainingNarrator:
    """Tells a training on stderr, its result on stdout; a `deeplab.campaign.stages.Narrator`."""

    def __init__(self) -> None:
        self._stderr = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=self._stderr,
            transient=True,
            disable=not self._stderr.is_terminal,
        )
        self._bar = self._bars.add_task("", total=None, figures="", visible=False)

    def __enter__(self) -> Self:
        """Show the bars."""
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the bars, whatever happened."""
        self._bars.stop()

    def warn(self, text: str) -> None:
        """Print a remark."""
        note("warning", message=text)
        self._stderr.print(Text(f"warning: {text}"))

    def tell_split(self, campaign: "Campaign") -> None:
        """Print which parents train, validate and test."""
        split = campaign.split
        for part in ("train", "validation", "test"):
            parents = split.parents(part)
            if parents:
                count = len(split.choose(campaign.samples, part))
                files = "1 file" if count == 1 else f"{count} files"
                shown = ", ".join(parents[:8]) + (" …" if len(parents) > 8 else "")
                self._stderr.print(Text(f"{part}: {files} of {shown}"))
        shared = split.shared_parents()
        if shared:
            self.warn(
                f"this split leaks: {len(shared)} micrographs stand on both sides, "
                "and the figures will be too good"
            )

    def on_stage(self, title: str) -> None:
        """Print what begins."""
        note("stage", title=title)
        self._stderr.print(Text(title), style="bold")
        self._bars.update(self._bar, visible=False)

    def on_step(self, epoch: int, step: int, steps: int, figures: Mapping[str, float]) -> None:
        """Move the bar of the epoch."""
        self._bars.update(
            self._bar,
            description=f"epoch {epoch}",
            completed=step,
            total=steps,
            figures=_tell_figures(figures),
            visible=True,
        )

    def on_epoch(self, row: "Row") -> None:
        """Print the figures of an epoch."""
        note("epoch", **row)
        line = f"epoch {row['epoch']:.0f}: {_tell_figures(row)}"
        if "validation_loss" in row:
            prefix = "validation_"
            held = {k.removeprefix(prefix): v for k, v in row.items() if k.startswith(prefix)}
            line += f" | validation: {_tell_figures(held)}"
        seconds, waited = row["seconds"] or 0.0, row["waited"] or 0.0
        share = f", {waited / seconds:.0%} of it for crops" if seconds else ""
        self._stderr.print(Text(f"{line} | {seconds:.0f} s{share}"))

    def close(self, model: "TrainedModel", trained: "Trained | None") -> None:
        """Print what came of it, on stdout; a forest has no epochs."""
        card = model.card
        stdout = Console(highlight=False)
        if card.get("judged"):
            stdout.print(_tabulate(card))
        found = card.get("calibration")
        if found:
            stdout.print(
                f"temperature {card['temperature']:.3f}: calibration error "
                f"{found['error_before']:.4f} before, {found['error_after']:.4f} after"
            )
        how = f"{trained.ended} after {trained.progress.epochs} epochs" if trained else "finished"
        stdout.print(
            Text(f"{model.path}: {how}; use it with segment --model"),
            soft_wrap=True,
        )


def _tabulate(card: Mapping[str, object]) -> Table:
    judged, iou = card["judged"], card["iou"]
    assert isinstance(judged, Mapping)
    assert isinstance(iou, Mapping)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(str(judged["on"]), no_wrap=True)
    for heading in ("part", "accuracy", *(f"IoU {phase}" for phase in _PHASES)):
        table.add_column(heading, justify="right", no_wrap=True)
    rows = judged["images"]
    for row in rows if len(rows) <= 40 else ():
        figures = [row["pixel_accuracy"], *(row[f"iou_{phase}"] for phase in _PHASES)]
        table.add_row(Text(row["name"]), row["part"], *map(_three, figures))
    figures = [card["pixel_accuracy"], *(iou.get(phase) for phase in _PHASES)]
    table.add_row("pooled", "", *map(_three, figures))
    return table


def _three(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _tell_figures(figures: "Mapping[str, float | None]") -> str:
    iou = " ".join(f"{phase} {_three(figures.get(f'iou_{phase}'))}" for phase in _PHASES)
    accuracy = _three(figures.get("pixel_accuracy"))
    return f"loss {_three(figures.get('loss'))}, accuracy {accuracy}, IoU {iou}"
