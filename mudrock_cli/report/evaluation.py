"""The figure of an evaluation: how good masks are, on one page."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mudrock_cli.report.style import FAINT, INK, PHASE_COLOURS, figure_style

Row = Mapping[str, Any]

_PHASES = ("silt", "clay", "pore")
_METHODS = ("#0072b2", "#e69f00", "#cc79a7", "#56b4e9", "#f0e442")  # Okabe and Ito's others
_MARKERS = "osD^v"
_BINS = np.linspace(0, 1, 21)


def draw_evaluation(rows: Sequence[Row]) -> Figure:
    """Draw IoU histograms (the paper's Figure 6B-D), fractions, confusion and objects.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the score table.

    Returns
    -------
    Figure
        Above: images by IoU of silt, clay, pore. Below: predicted against true fractions,
        the confusion matrix of the first method, boundary F1 and panoptic quality.
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    pooled = {
        row["method"]: row for row in rows if row["level"] == "pooled" and row["split"] == "all"
    }
    images = {
        method: [row for row in rows if row["level"] == "image" and row["method"] == method]
        for method in methods
    }
    with figure_style():
        figure = Figure((10.2, 6.4))
        axes = figure.subplots(2, 3)
        for panel, name in zip(axes[0], _PHASES, strict=True):
            _draw_histogram(panel, name, images)
        axes[0, 0].legend(loc="upper left")
        _draw_fractions(axes[1, 0], images)
        _draw_confusion(axes[1, 1], methods[0], pooled[methods[0]])
        _draw_bars(axes[1, 2], pooled)
    return figure


def _draw_histogram(axes: Axes, name: str, images: Mapping[str, Sequence[Row]]) -> None:
    """Draw how many images reach which IoU, the methods' bars side by side."""
    values, labels = [], []
    for method, rows in images.items():
        known = np.array([row[f"iou_{name}"] for row in rows], np.float64)
        known = known[~np.isnan(known)]
        values.append(known)
        mean = f"{known.mean():.3f}" if known.size else "none"
        labels.append(f"{method} ({mean})" if name == _PHASES[0] else mean)
    colours = [_METHODS[number % len(_METHODS)] for number in range(len(values))]
    axes.hist(values, list(_BINS), color=colours, label=labels, rwidth=0.9)
    for known, colour in zip(values, colours, strict=True):
        if known.size:
            axes.axvline(known.mean(), color=colour, lw=1.2, ls=(0, (4, 2)))
    axes.set_xlim(0, 1)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("intersection over union (dashed: mean)")
    axes.set_ylabel("images")
    axes.set_title(name.capitalize(), color=PHASE_COLOURS[name])


def _draw_fractions(axes: Axes, images: Mapping[str, Sequence[Row]]) -> None:
    """Draw predicted against true porosity and silt fraction, a point per image."""
    highest = 1.0
    for number, (method, rows) in enumerate(images.items()):
        for name in ("pore", "silt"):
            true = [row[f"fraction_{name}_truth_percent"] for row in rows]
            predicted = [row[f"fraction_{name}_predicted_percent"] for row in rows]
            axes.plot(
                true,
                predicted,
                _MARKERS[number % len(_MARKERS)],
                color=PHASE_COLOURS[name],
                mfc=PHASE_COLOURS[name] if number == 0 else "none",
                ms=4.5,
                label=f"{name}, {method}",
            )
            highest = max(highest, np.nanmax([*true, *predicted, highest]))
    axes.plot([0, highest], [0, highest], color=FAINT, lw=1, zorder=0)
    axes.set_xlabel("true area (%)")
    axes.set_ylabel("predicted area (%)")
    axes.set_title("Porosity and silt fraction")
    if len(images) < 4:
        axes.legend(loc="upper left")


def _draw_confusion(axes: Axes, method: str, row: Row) -> None:
    """Draw the pooled confusion matrix in percent of each true phase."""
    counts = np.array(
        [[row[f"{name}_as_{other}_pixels"] for other in _PHASES] for name in _PHASES], np.float64
    )
    totals = [sum(row[f"{n}_as_{o}_pixels"] for o in (*_PHASES, "void")) for n in _PHASES]
    shares = 100 * counts / np.maximum(totals, 1)[:, None]
    axes.imshow(shares, cmap="Greys", vmin=0, vmax=130)
    for (row_number, column), share in np.ndenumerate(shares):
        colour = "white" if share > 80 else INK
        axes.text(column, row_number, f"{share:.1f}", ha="center", va="center", color=colour)
    axes.set_xticks(range(3), _PHASES)
    axes.set_yticks(range(3), _PHASES)
    axes.grid(visible=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"Confusion, % of true: {method}")


def _draw_bars(axes: Axes, pooled: Mapping[str, Row]) -> None:
    """Draw boundary F1 of the phases and panoptic quality of the objects."""
    keys = {f"F1\n{name}": f"boundary_f1_{name}" for name in _PHASES}
    keys |= {f"PQ\n{name}": f"panoptic_quality_{name}" for name in ("silt", "pore")}
    width = 0.8 / len(pooled)
    for number, row in enumerate(pooled.values()):
        left = np.arange(len(keys)) - 0.4 + (number + 0.5) * width
        heights = [row[key] for key in keys.values()]
        axes.bar(left, heights, 0.92 * width, color=_METHODS[number % len(_METHODS)])
    axes.set_xticks(range(len(keys)), list(keys))
    axes.set_ylim(0, 1)
    axes.grid(axis="x", visible=False)
    axes.set_title("Outlines (boundary F1), objects (PQ)")
