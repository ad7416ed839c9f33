"""The figure of an evaluation: how good masks are, on one page."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.table import Table
from rich.text import Text

from mudrock_cli.report.figures import FAINT, INK, PHASE_COLOURS, figure_style, shorten

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
    pooled = {row["method"]: row for row in _all_images(rows, "pooled")}
    images = {
        method: [row for row in rows if row["level"] == "image" and row["method"] == method]
        for method in methods
    }
    with figure_style():
        figure = Figure((10.2, 6.4), layout="constrained")
        axes = figure.subplots(2, 3)
        for panel, name in zip(axes[0], _PHASES, strict=True):
            _draw_histogram(panel, name, images)
        if axes[0, 0].get_legend_handles_labels()[0]:
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
    axes.set_title(name.capitalize(), color=PHASE_COLOURS[name])
    if not any(known.size for known in values):
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "no figures", ha="center", va="center", transform=axes.transAxes)
        return
    colours = [_METHODS[number % len(_METHODS)] for number in range(len(values))]
    axes.hist(values, list(_BINS), color=colours, label=labels, rwidth=0.9)
    for known, colour in zip(values, colours, strict=True):
        if known.size:
            axes.axvline(known.mean(), color=colour, lw=1.2, ls=(0, (4, 2)))
    axes.set_xlim(0, 1)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("intersection over union (dashed: mean)")
    axes.set_ylabel("images")


def _draw_fractions(axes: Axes, images: Mapping[str, Sequence[Row]]) -> None:
    """Draw predicted against true porosity and silt fraction, a point per image."""
    highest = 1.0
    for number, (method, rows) in enumerate(images.items()):
        for name in ("pore", "silt"):
            told = [row for row in rows if row[f"fraction_{name}_truth_percent"] is not None]
            if not told:
                continue
            true = [row[f"fraction_{name}_truth_percent"] for row in told]
            predicted = [row[f"fraction_{name}_predicted_percent"] for row in told]
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
    void = np.array([row[f"{name}_as_void_pixels"] for name in _PHASES], np.float64)
    shares = 100 * counts / np.maximum(counts.sum(axis=1) + void, 1)[:, None]
    axes.imshow(shares, cmap="Greys", vmin=0, vmax=130)
    for (row_number, column), share in np.ndenumerate(shares):
        colour = "white" if share > 65 else INK
        shown = _decimal(share, "{:.1f}")
        axes.text(column, row_number, shown, ha="center", va="center", color=colour)
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
        heights = np.array([row[key] for key in keys.values()], np.float64)
        axes.bar(left, heights, 0.92 * width, color=_METHODS[number % len(_METHODS)])
    axes.set_xticks(range(len(keys)), list(keys))
    axes.set_ylim(0, 1)
    axes.grid(axis="x", visible=False)
    axes.set_title("Outlines (boundary F1), objects (PQ)")


# Scores as tables for a terminal of 80 columns: the paper's Table 1 and Table 2, and three more.

MOST_IMAGES = 30
"""Images in the table per image; all are in the Parquet file."""
_IOU = (*_PHASES, "mean")
_SCORES = ("pixel_accuracy", *(f"iou_{name}" for name in _IOU))
_NONE = "–"

Line = Sequence[str | Text] | None
"""The cells of a line; None ends a section."""


def tabulate_summary(rows: Sequence[Row]) -> Table:
    """Return the paper's Table 1: accuracy and IoU by method and split, averaged and pooled."""
    lines: list[Line] = []
    for row in rows:
        if row["level"] != "image":
            over = "images" if row["level"] == "mean" else "pixels"
            scores = [_decimal(row[key]) for key in _SCORES]
            lines.append([_name(row["method"]), row["split"], over, str(row["images"]), *scores])
            if over == "pixels":
                lines.append(None)
    numbers = ("images", "accuracy", *_IOU)
    return _make_table("Pixel accuracy and IoU", ("method", "split", "over"), numbers, lines)


def tabulate_images(rows: Sequence[Row]) -> Table:
    """Return the paper's Table 2: the methods one under the other, image by image.

    The best of several methods stands in bold.
    """
    by_image: dict[str, list[Row]] = {}
    for row in rows:
        if row["level"] == "image":
            by_image.setdefault(row["image"], []).append(row)
    lines: list[Line] = []
    for image, methods in list(by_image.items())[:MOST_IMAGES]:
        best = {key: max(_known(row[key]) for row in methods) for key in _SCORES}
        mark = "bold" if len(methods) > 1 else ""
        for row in methods:
            name = _name(image if row is methods[0] else "", 22)
            scores = [
                Text(_decimal(row[key]), mark if row[key] == best[key] else "") for key in _SCORES
            ]
            lines.append([name, _name(row["method"]), *scores])
        if len(methods) > 1:
            lines.append(None)
    if len(by_image) > MOST_IMAGES:
        lines.append([f"and {len(by_image) - MOST_IMAGES} more"])
    return _make_table("Per image", ("image", "method"), ("accuracy", *_IOU), lines)


def tabulate_objects(rows: Sequence[Row]) -> Table:
    """Return how well outlines and objects are met, over all images pooled."""
    counted = ("instances_{}_truth", "instances_{}_predicted", "matched_{}", "splits_{}")
    lines: list[Line] = []
    for row in _all_images(rows, "pooled"):
        for name in _PHASES:
            objects = [_NONE] * 6  # clay: what lies between the objects
            if name != "clay":
                quality = _decimal(row[f"panoptic_quality_{name}"])
                keys = [key.format(name) for key in (*counted, "merges_{}")]
                counts = [_NONE if row[key] is None else str(row[key]) for key in keys]
                objects = [quality, *counts]
            method = _name(row["method"] if name == _PHASES[0] else "")
            lines.append([method, name, _decimal(row[f"boundary_f1_{name}"]), *objects])
        lines.append(None)
    title = "Outlines (boundary F1) and objects"
    numbers = ("F1", "PQ", "true", "found", "matched", "splits", "merges")
    return _make_table(title, ("method", "phase"), numbers, lines)


def tabulate_quantities(rows: Sequence[Row]) -> Table:
    """Return the errors of what is computed from masks: fractions and size distributions.

    Fractions: truth and prediction pooled, and the mean magnitude of the error per image.
    """
    means = {row["method"]: row for row in _all_images(rows, "mean")}
    lines: list[Line] = []
    for row in _all_images(rows, "pooled"):
        for name in ("pore", "silt"):
            stem = f"fraction_{name}"
            lines.append(
                [
                    _name(row["method"] if name == "pore" else ""),
                    name,
                    _decimal(row[f"{stem}_truth_percent"], "{:.2f}"),
                    _decimal(row[f"{stem}_predicted_percent"], "{:.2f}"),
                    _decimal(row[f"{stem}_error_points"], "{:+.2f}"),
                    _decimal(means[row["method"]][f"{stem}_error_points"], "{:.2f}"),
                    _distance(row, f"ecd_distance_{name}"),
                    _distance(row, f"ecd_distance_by_area_{name}"),
                ]
            )
        lines.append(None)
    title = "Fractions (% of area) and diameters (ECD)"
    numbers = ("truth", "found", "error", "per image", "ECD shift", "by area")
    return _make_table(title, ("method", "phase"), numbers, lines)


def tabulate_confusion(rows: Sequence[Row], method: str) -> Table:
    """Return the pooled confusion matrix of a method, in percent of each true phase."""
    pooled = next(row for row in _all_images(rows, "pooled") if row["method"] == method)
    predicted = [*_PHASES]
    if any(pooled[f"{name}_as_void_pixels"] for name in _PHASES):
        predicted.append("void")
    lines: list[Line] = []
    for name in _PHASES:
        counts = {o: pooled[f"{name}_as_{o}_pixels"] or 0 for o in (*_PHASES, "void")}
        total = sum(counts.values())
        shares = [f"{100 * counts[o] / total:.2f}" if total else _NONE for o in predicted]
        lines.append([name, *shares, f"{total:,}"])
    title = f"Confusion of {_name(method, 40)} (% of the true phase)"
    numbers = (*(f"as {other}" for other in predicted), "pixels")
    return _make_table(title, ("truth",), numbers, lines)


def describe_absences(rows: Sequence[Row]) -> list[str]:
    """Return a sentence for every phase that lacks figures: images without it, labels without it.

    An image may have it in neither truth nor prediction; labels may not tell it from another.
    """
    means = _all_images(rows, "mean")
    untold = [name for name in _PHASES if any(row[f"absent_{name}"] is None for row in means)]
    said = (
        [f"the labels do not tell {' from '.join(untold)}: no figures of these"] if untold else []
    )
    for row in means:
        for name in _PHASES:
            if count := row[f"absent_{name}"]:
                images = "1 image has" if count == 1 else f"{count} images have"
                said.append(
                    f"{row['method']}: {images} no {name} in truth and prediction "
                    f"and no part in the mean over images"
                )
    return said


def _make_table(
    title: str, words: Sequence[str], numbers: Sequence[str], lines: Sequence[Line]
) -> Table:
    table = Table(
        title=Text(title), box=None, pad_edge=False, header_style="bold", title_style="bold"
    )
    table.title_justify = "left"
    table.min_width = len(title)  # else a narrow table breaks its title
    for heading in words:
        table.add_column(heading, no_wrap=True)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    for line in lines:
        if line is None:
            table.add_section()
        else:
            table.add_row(*line)
    return table


def _name(name: str, longest: int = 14) -> Text:
    return Text(shorten(name, longest))


def _all_images(rows: Sequence[Row], level: str) -> list[Row]:
    """Return the rows of a level that sum up the images of all splits."""
    return [row for row in rows if row["level"] == level and row["split"] == "all"]


def _known(value: float | None) -> float:
    return -1.0 if value is None or value != value else value


def _decimal(value: float | None, form: str = "{:.3f}") -> str:
    return _NONE if value is None or value != value else form.format(value)


def _distance(row: Row, key: str) -> str:
    for unit, name in (("um", "µm"), ("px", "px")):
        value = row[f"{key}_{unit}"]
        if value is not None and value == value:
            return f"{value:.3f} {name}"
    return _NONE
