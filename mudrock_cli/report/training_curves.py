"""Loss, pixel accuracy and IoU against epochs: the paper's Figure 6A."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mudrock_cli.image.placement import placing
from mudrock_cli.report.style import INK, PHASE_COLOURS, figure_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Rows = Sequence[Mapping[str, float | None]]


def draw_curves(path: Path, history: _Rows) -> None:
    """Draw how a training went.

    Parameters
    ----------
    path : Path
        A ``.png``, written beside its place and moved into it.
    history : sequence of dict
        A row per epoch with ``epoch``, ``loss``, ``pixel_accuracy``, ``iou_clay``, ``iou_silt``,
        ``iou_pore`` and, where something validated, the same with ``validation_`` before it.

    Raises
    ------
    MudrockError
        If the file cannot be written.
    """
    from matplotlib.figure import Figure

    with figure_style():
        figure = Figure(figsize=(9, 2.9), layout="constrained")
        loss, accuracy, iou = figure.subplots(1, 3)
        _draw_pair(loss, history, "loss", INK, "")
        _draw_pair(accuracy, history, "pixel_accuracy", INK, "")
        for phase, colour in PHASE_COLOURS.items():
            _draw_pair(iou, history, f"iou_{phase}", colour, phase)
        for axes, title in ((loss, "Loss"), (accuracy, "Pixel accuracy"), (iou, "IoU")):
            axes.set_title(title)
            axes.set_xlabel("epoch")
        accuracy.set_ylim(top=1)
        iou.set_ylim(0, 1)
        loss.legend(loc="upper right")
        iou.legend(loc="lower right")
        with placing(path) as part:
            figure.savefig(part, format="png", dpi=150)


def _draw_pair(axes: "Axes", history: _Rows, name: str, colour: str, label: str) -> None:
    """Draw training dashed and validation full."""
    epochs = [row["epoch"] or 0 for row in history]
    alone = not any(row.get(f"validation_{name}") is not None for row in history)
    for prefix, dashes, what in (("", "--", "training"), ("validation_", "-", "validation")):
        values = [row.get(f"{prefix}{name}") for row in history]
        if prefix and alone:
            continue
        shown = [float("nan") if value is None else value for value in values]
        title = label if label and (prefix or alone) else None if label else what
        marker = "." if len(epochs) < 3 else ""
        axes.plot(epochs, shown, dashes, color=colour, label=title, marker=marker)
