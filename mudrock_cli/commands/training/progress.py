"""What a training says: its split, a bar per epoch, a line per epoch, a closing table."""

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from mudrock_cli.commands.log.events import note

if TYPE_CHECKING:
    from mudrock_cli.deeplab.campaign.plan import Campaign
    from mudrock_cli.deeplab.model.zoo import TrainedModel
    from mudrock_cli.deeplab.training.checkpoint import Row
    from mudrock_cli.deeplab.training.loop import Trained

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
