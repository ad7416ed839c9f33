"""What the commands print: progress, warnings and errors on stderr, tables or JSON on stdout."""

import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import rich.console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from mudrock_cli.commands.log import note, note_error
from mudrock_cli.errors import MudrockError
from mudrock_cli.files import printable

if TYPE_CHECKING:
    from mudrock_cli.cross_validation import TrainingPlan
    from mudrock_cli.deeplab.model import TrainedModel
    from mudrock_cli.deeplab.training import Row, Trained

MOST_ROWS = 40
"""Of a closing table; a thousand rows tell nobody anything."""

_MOST_NAMED = 4  # inputs behind a warning
_SECONDS_BETWEEN_LINES = 30.0  # of progress, where stderr is no terminal that shows bars
_SECONDS_OF_SPEED = 600.0  # steps of a mosaic lie minutes apart
_PHASES = ("clay", "silt", "pore")


class Console:
    """Bars, warnings and errors on stderr, and in the log where one is kept.

    Parameters
    ----------
    noun : str
        What is worked on, for the bar: ``images``.
    total : int
        Number of inputs.
    json_lines : bool
        Write results as JSON lines on stdout, and tables and sums nowhere or on stderr.
    """

    def __init__(self, noun: str, total: int, *, json_lines: bool = False) -> None:
        self.json_lines = json_lines
        self.stderr = rich.console.Console(stderr=True, highlight=False, soft_wrap=True)
        self._noun, self._total = noun, total
        self._finished = self._at_once = 0
        self._share = 0.0  # of the input that is worked on
        self._warnings: dict[str, list[str]] = {}
        self._bars = _make_bars(self.stderr)
        self._bar = self._bars.add_task(noun, total=total)
        self._start = self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    @contextmanager
    def image(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """Show a bar for one image; yields ``advance(done, total)``."""
        bar = self._bars.add_task(escape(shorten(name, 30)), total=100)

        def advance(done: int, total: int) -> None:
            self._share = done / max(total, 1)
            self._bars.update(bar, completed=round(100 * self._share))
            self._bars.update(self._bar, completed=self._finished + self._share)
            self._print_progress(f", {self._share:.0%} of {name}")

        try:
            yield advance
        finally:
            self._share = 0.0
            self._bars.remove_task(bar)

    def count(self, *, at_once: bool = False) -> None:
        """Move the bar by one input; `at_once`: it was done already, and tells no duration."""
        self._finished += 1
        self._at_once += at_once
        self._bars.update(self._bar, completed=self._finished)
        self._print_progress()

    def _print_progress(self, of_image: str = "") -> None:
        """Where no terminal shows bars, print a line now and then, with the expected end."""
        now = time.monotonic()
        early = now - self._last_line < _SECONDS_BETWEEN_LINES
        if self.stderr.is_terminal or early or self._finished >= self._total:
            return
        self._last_line = now
        worked = self._finished - self._at_once + self._share
        line = f"{self._finished} of {self._total} {self._noun}{of_image}"
        if worked:
            left = (now - self._start) * (self._total - self._finished - self._share) / worked
            line += f"; {format_end(left)}"
        self.stderr.print(Text(line))

    def warn(self, kind: str, message: str) -> None:
        """Print a line that stops nothing; of many of one kind, only the first and their number."""
        note("warning", kind=kind, message=message)
        if kind not in self._warnings:
            self.stderr.print(Text(f"warning: {message}"))
        self._warnings.setdefault(kind, []).append(message)

    def print_error(self, error: MudrockError) -> None:
        """Print in a line why an input failed."""
        note_error(error)
        hint = f"; {error.hint}" if error.hint else ""
        self.stderr.print(Text(f"error: {error.message}{hint}"))

    def print_json(self, line: Mapping[str, Any]) -> None:
        """Write a JSON line on stdout, at once."""
        sys.stdout.write(printable(json.dumps(line, ensure_ascii=False)) + "\n")
        sys.stdout.flush()

    def end(self) -> None:
        """Remove the bars, and print which inputs a warning of a kind concerned."""
        self._bars.stop()
        for kind, messages in self._warnings.items():
            count, left_out = len(messages), len(messages) - _MOST_NAMED
            if count > 1:
                # A message begins with its subject: the path of an input, or its name.
                named = [message.partition(": ")[0] for message in messages[:_MOST_NAMED]]
                named = [shorten(name.rpartition("/")[2], _MOST_NAME) for name in named]
                named += [f"{left_out} more"] if left_out > 0 else []
                self.stderr.print(
                    Text(f"warning: {count} {self._noun} in all: {kind} ({', '.join(named)})")
                )

    def close(self, table: Table | None, lines: Sequence[str]) -> None:
        """End with a table and lines on stdout; with JSON there, only the lines, on stderr."""
        self.end()
        console = self.stderr if self.json_lines else rich.console.Console(highlight=False)
        if table is not None and not self.json_lines:
            console.print(table)
        for line in lines:
            console.print(Text(line), soft_wrap=True)


def _make_bars(stderr: rich.console.Console, *columns: TextColumn) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        *columns,
        TimeRemainingColumn(),
        console=stderr,
        speed_estimate_period=_SECONDS_OF_SPEED,
        disable=not stderr.is_terminal,
        transient=True,
    )


def print_table(table: Table, *lines: str) -> None:
    """Print a table on stdout, and lines below it."""
    console = rich.console.Console(highlight=False)
    console.print(table)
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def make_table(first: str, headings: Sequence[str]) -> Table:
    """Return an empty table whose first column is a name and whose others are figures."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def shorten(name: str, width: int) -> str:
    """Return the end of a name that is too long for its column."""
    return name if len(name) <= width else f"…{name[1 - width :]}"


def shorten_apart(names: Sequence[str], width: int) -> list[str]:
    """Return names cut to a width: in the middle, or wherever that leaves them distinct."""

    def cut(keep: Callable[[str], str]) -> list[str]:
        return [name if len(name) <= width else keep(name) for name in names]

    def keep_ends(head: int) -> Callable[[str], str]:
        return lambda name: f"{name[:head]}…{name[len(name) - width + head + 1 :]}"

    def keep_part(start: int) -> Callable[[str], str]:
        return lambda name: f"…{name[start : start + width - 2]}…"

    heads = sorted(range(width), key=lambda head: abs(2 * head - width))
    starts = range(1, max(map(len, names), default=0) - width + 2)
    ways = [cut(keep_ends(head)) for head in heads] + [cut(keep_part(start)) for start in starts]
    shown = max(ways, key=lambda way: len(set(way)))
    for place, text in enumerate(shown):
        if times := shown[:place].count(text):
            mark = f"#{times + 1}"
            shown[place] = text[: width - len(mark)] + mark
    return shown


def format_duration(seconds: float) -> str:
    """Return a duration in the two units that matter."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "<1 s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def format_end(seconds: float) -> str:
    """Return how long it will take, and until when."""
    end = datetime.now() + timedelta(seconds=seconds)
    day = f"{end:%d %b} " if end.date() != datetime.now().date() else ""
    return f"about {format_duration(max(seconds, 1))} to go, until {day}{end:%H:%M}"


# The closing table of a batch of masks.

_LEAST_NAME, _MOST_NAME = 8, 32  # characters of a name
_OUTSIDE = "*"  # marks a mask whose image lies outside the training range of the model


@dataclass(frozen=True)
class Column:
    """A column of the closing table: its heading, and its text made from an image's facts."""

    heading: str
    text: Callable[[Mapping[str, Any]], str]


def percent_column(heading: str, name: str) -> Column:
    """Return the column of a fraction."""
    return Column(heading, lambda facts: f"{100 * facts[name]:.2f}")


SIZE_COLUMN = Column(
    "nm/px", lambda facts: f"{facts['pixel_size_nm']:.4g}" if facts["pixel_size_nm"] else "?"
)
PHASE_COLUMNS = tuple(percent_column(f"{name} %", f"{name}_fraction") for name in ("pore", "silt"))
CLAY_COLUMN = percent_column("clay %", "clay_fraction")
RIMS_NM = (10.0, 145.0)
"""How far inside their visible outlines published labels draw pores and silt."""
CLAY_NOTE = (
    "clay: all that is neither pore nor silt, organic matter and pyrite too; of the silt, mudrock "
    "stats counts grains up to 2 µm as clay"
)


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

    @property
    def outside(self) -> Sequence[str]:
        """The figures by which the image lies outside the training range."""
        names: Sequence[str] = self.facts.get("outside_domain", ())
        return names

    def to_json(self) -> dict[str, Any]:
        """Return the line of ``--json``."""
        line: dict[str, Any] = {"input": str(self.input), "status": self.status}
        if self.error is not None:
            line |= {"error": self.error.message, "hint": self.error.hint}
        else:
            line |= {"mask": str(self.mask), **self.facts}
        return line | {"seconds": round(self.seconds, 3)}


def describe_masks(
    outcomes: Sequence[Outcome], out: Path, seconds: float, rims_nm: tuple[float, float] = RIMS_NM
) -> list[str]:
    """Return the lines below the closing table: where pixel sizes are from, marks, the sum."""
    lines = []
    sources = Counter(
        str(outcome.facts.get("pixel_size_source") or "none")
        for outcome in outcomes
        if outcome.error is None
    )
    if sources:
        shown = "; ".join(f"{source} ({count})" for source, count in sources.most_common())
        lines += [f"pixel sizes from: {shown}", CLAY_NOTE]
        lines.append(f"outlines: {_describe_outlines(*rims_nm)}")
    outside = Counter(name for outcome in outcomes for name in outcome.outside)
    if outside:
        from mudrock_cli.image.mask import name_figure

        shown = ", ".join(f"{name_figure(n)} ({count})" for n, count in outside.most_common())
        lines.append(f"{_OUTSIDE} unlike what the model was trained on: {shown}")
    counts = Counter(outcome.status for outcome in outcomes)
    parts = [f"{counts['done']} new"]
    parts += [f"{counts['skipped']} there already"] if counts["skipped"] else []
    parts += [f"{counts['failed']} failed"] if counts["failed"] else []
    finished = counts["done"] + counts["skipped"]
    noun = "mask" if finished == 1 else "masks"
    return [*lines, f"{finished} {noun} in {out} ({', '.join(parts)}; {seconds:.1f} s)"]


def _describe_outlines(pore_nm: float, silt_nm: float) -> str:
    if not (pore_nm or silt_nm):
        return "exact, where they are visible"
    inside = f"{pore_nm:g} nm (pores) and {silt_nm:g} nm (silt) inside the visible ones"
    if (pore_nm, silt_nm) == RIMS_NM:
        return f"as published labels draw them, {inside}; to measure, take --outlines exact"
    return f"{inside}, as the recipe has it"


def tabulate_masks(outcomes: Sequence[Outcome], columns: Sequence[Column]) -> Table:
    """Lay out the closing table of masks."""
    headings = [*(column.heading for column in columns), "s", "status"]
    rows = []
    for outcome in outcomes:
        failed = outcome.status == "failed"
        cells = ["" if failed else column.text(outcome.facts) for column in columns]
        mark = f" {_OUTSIDE}" if outcome.outside else ""
        rows.append([*cells, f"{outcome.seconds:.1f}", f"{outcome.status}{mark}"])
    table = lay_table("image", headings, [outcome.input.name for outcome in outcomes], rows)
    table.columns[-1].justify = "left"
    return table


def lay_table(
    first: str,
    headings: Sequence[str],
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    gap: int = 2,
) -> Table:
    """Return a table as wide as the terminal: names are cut, figures never are.

    Of more than `MOST_ROWS` rows the last is the number of those that are left out.
    """
    left_out = max(0, len(rows) - MOST_ROWS)
    shown = rows if left_out < 2 else rows[:MOST_ROWS]
    table, room = _make_fitting(first, headings, shown, gap)
    for name, cells in zip(names, shown, strict=False):
        table.add_row(Text(shorten(printable(name), min(room, _MOST_NAME))), *cells)
    if left_out > 1:
        table.add_row(f"and {left_out} more")
    return table


def _make_fitting(
    first: str, headings: Sequence[str], rows: Sequence[Sequence[str]], gap: int = 2
) -> tuple[Table, int]:
    """Return an empty table whose figures are never cut, and the characters left for a name."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    width = rich.console.Console().width
    table = make_table(first, headings)
    table.padding = (0, gap // 2, 0, gap - gap // 2)
    for column, least in zip(table.columns[1:], widths, strict=True):
        column.min_width = least
    return table, max(width - sum(widths) - gap * len(widths), _LEAST_NAME)


# The closing table of `stats`.

SummaryRow = Mapping[str, Any]

_MOST_SUMMARY_NAME = 18


def to_json_line(row: SummaryRow) -> dict[str, Any]:
    """Return a row of the summary as a JSON line: its figures and warnings, no curves."""
    line = {}
    for key, value in row.items():
        value = value.tolist() if hasattr(value, "tolist") else value
        curve = isinstance(value, list) and not all(isinstance(item, str) for item in value)
        if key != "provenance" and not curve:
            line[key] = None if isinstance(value, float) and math.isnan(value) else value
    return line


def tabulate_summary(rows: Sequence[SummaryRow]) -> Table:
    """Lay out the rows of images and what they are pooled to, as wide as the terminal."""
    least = rows[-1]["min_silt_um"]
    silt = f"silt >{least:g} µm %" if least else "silt %"  # the silt of `segment` is of any size
    headings = ("porosity %", silt, "pores", "D50 µm", "grains", "D50 µm")
    images = [row for row in rows if row["scope"] == "image"]
    left_out = len(images) - MOST_ROWS
    shown = images[: MOST_ROWS if left_out > 1 else None]
    pooled = [row for row in rows if row["scope"] in ("group", "pooled") and len(images) > 1]
    names = [row.get("group") or f"all {row['images']} images" for row in pooled]
    cells = [_summary_cells(row) for row in (*shown, *pooled)]
    table, room = _make_fitting("image", headings, cells)
    width = min(room, _MOST_SUMMARY_NAME)
    for name, figures in zip(
        shorten_apart([row["image"] for row in shown], width), cells, strict=False
    ):
        table.add_row(Text(name), *figures)
    if left_out > 1:
        table.add_row(f"and {left_out} more")
    for name, figures in zip(shorten_apart(names, width), cells[len(shown) :], strict=True):
        table.add_row(Text(name, style="bold"), *figures)
    return table


def _summary_cells(row: SummaryRow) -> list[str]:
    """Return the cells of a row: shares with their intervals, counts, diameters by area."""
    return [
        _share(row, "porosity"),
        _share(row, "silt_fraction"),
        str(row["pores"]),
        _number(row["pore_ecd_d50_area_um"]),
        str(row["silt_grains"]),
        _number(row["silt_ecd_d50_area_um"]),
    ]


def _share(row: SummaryRow, name: str) -> str:
    """Return a share and its interval, within the field where there is only one; in percent."""
    stem = f"{name}_within_field" if row["images"] == 1 else name
    low, high = 100 * row[f"{stem}_low"], 100 * row[f"{stem}_high"]
    return f"{100 * row[name]:.1f}" + ("" if math.isnan(low + high) else f" {low:.1f}–{high:.1f}")


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3g}"


# A training: its split, a bar and a line per epoch, a closing table.


class TrainingConsole:
    """Prints a training on stderr, its result on stdout."""

    def __init__(self) -> None:
        self._stderr = rich.console.Console(stderr=True, highlight=False, soft_wrap=True)
        self._bars = _make_bars(self._stderr, TextColumn("{task.fields[figures]}"))
        self._bar = self._bars.add_task("", total=None, figures="", visible=False)
        self._epochs = 0
        self._seconds: list[float] = []  # of the last epochs

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

    def print_split(self, plan: "TrainingPlan") -> None:
        """Print which micrographs train, validate and test."""
        split = plan.split
        for part in ("train", "validation", "test"):
            sources = split.sources(part)
            if sources:
                count = len(split.choose(plan.samples, part))
                files = "1 file" if count == 1 else f"{count} files"
                shown = ", ".join(sources[:8]) + (" …" if len(sources) > 8 else "")
                self._stderr.print(Text(f"{part}: {files} of {shown}"))
        shared = split.leaking_sources()
        if shared:
            self.warn(
                f"this split leaks: {len(shared)} micrographs stand on both sides, "
                "and the figures will be too good"
            )

    def on_stage(self, title: str, epochs: int = 0) -> None:
        """Print what begins, a training of so many epochs or something else."""
        note("stage", title=title)
        self._epochs, self._seconds = epochs, []
        self._stderr.print(Text(title), style="bold")
        self._bars.update(self._bar, visible=False)

    def on_step(self, epoch: int, step: int, steps: int, figures: Mapping[str, float]) -> None:
        """Move the bar of the epoch."""
        self._bars.update(
            self._bar,
            description=f"epoch {epoch} of {self._epochs}",
            completed=step,
            total=steps,
            figures=_format_figures(figures),
            visible=True,
        )

    def on_epoch(self, row: "Row") -> None:
        """Print the figures of an epoch."""
        note("epoch", **row)
        epoch = int(row["epoch"] or 0)
        line = f"epoch {epoch} of {self._epochs}: {_format_figures(row)}"
        if "validation_loss" in row:
            prefix = "validation_"
            held = {k.removeprefix(prefix): v for k, v in row.items() if k.startswith(prefix)}
            line += f" | validation: {_format_figures(held)}"
        seconds, waited = row["seconds"] or 0.0, row["waited"] or 0.0
        line += f" | {seconds:.0f} s"
        line += f", {waited / seconds:.0%} of it for crops" if seconds else ""
        self._seconds = [*self._seconds[-4:], seconds]
        left = max(0, self._epochs - epoch) * sum(self._seconds) / len(self._seconds)
        self._stderr.print(Text(f"{line}; {format_end(left)}" if left else line))

    def close(self, model: "TrainedModel", trained: "Trained | None") -> None:
        """Print what came of it, on stdout; a forest has no epochs."""
        from mudrock_cli.deeplab.model import describe_finetuning

        card = model.card
        stdout = rich.console.Console(highlight=False)
        if card.get("judged"):
            stdout.print(_tabulate(card))
        found = card.get("calibration")
        if found:
            stdout.print(
                f"temperature {card['temperature']:.3f}: calibration error "
                f"{found['error_before']:.4f} before, {found['error_after']:.4f} after"
            )
        if combined := card.get("confidence_calibration"):
            stdout.print(
                f"with the classical prior, {combined['temperature']:.3f} more: calibration error "
                f"{combined['error_before']:.4f} before, {combined['error_after']:.4f} after"
            )
        for line in describe_finetuning(card):
            stdout.print(Text(line), soft_wrap=True)
        epochs = trained.progress.epochs if trained else 0
        how = f"{trained.ended} after {epochs} epochs" if trained and epochs else "finished"
        stdout.print(
            Text(f"{model.path}: {how}; use it with segment --model"),
            soft_wrap=True,
        )


def _tabulate(card: Mapping[str, object]) -> Table:
    judged, iou = card["judged"], card["iou"]
    assert isinstance(judged, Mapping)
    assert isinstance(iou, Mapping)
    headings = ("part", "accuracy", *(f"IoU {phase}" for phase in _PHASES))
    table = make_table(str(judged["on"]), headings)
    rows = judged["images"]
    for row in rows if len(rows) <= 40 else ():
        figures = [row["pixel_accuracy"], *(row[f"iou_{phase}"] for phase in _PHASES)]
        table.add_row(Text(row["name"]), row["part"], *map(_three, figures))
    figures = [card["pixel_accuracy"], *(iou.get(phase) for phase in _PHASES)]
    table.add_row("pooled", "", *map(_three, figures))
    return table


def _three(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _format_figures(figures: "Mapping[str, float | None]") -> str:
    iou = " ".join(f"{phase} {_three(figures.get(f'iou_{phase}'))}" for phase in _PHASES)
    accuracy = _three(figures.get("pixel_accuracy"))
    return f"loss {_three(figures.get('loss'))}, accuracy {accuracy}, IoU {iou}"
