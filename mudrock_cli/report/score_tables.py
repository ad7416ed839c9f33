"""Scores as tables for a terminal of 80 columns: the paper's Table 1 and Table 2, and two more."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

Row = Mapping[str, Any]

MOST_IMAGES = 30
"""Images in the table per image; all are in the Parquet file."""
_PHASES = ("silt", "clay", "pore")  # in the paper's order
_IOU = (*_PHASES, "mean")
_OBJECTS = (
    "instances_{}_truth",
    "instances_{}_predicted",
    "matched_{}",
    "splits_{}",
    "merges_{}",
)
_NONE = "–"


def draw_summary_table(rows: Sequence[Row]) -> Table:
    """Draw the paper's Table 1: accuracy and IoU by method and split, averaged and pooled."""
    table = _make_table("Pixel accuracy and IoU", ("method", "split", "over"))
    for heading in ("images", "accuracy", *_IOU):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        if row["level"] != "image":
            over = "images" if row["level"] == "mean" else "pixels"
            table.add_row(
                _name(row["method"]), row["split"], over, str(row["images"]), *_pixel_cells(row)
            )
            if over == "pixels":
                table.add_section()
    return table


def draw_image_table(rows: Sequence[Row]) -> Table:
    """Draw the paper's Table 2: the methods one under the other, image by image.

    The best of several methods stands in bold.
    """
    table = _make_table("Per image", ("image", "method"))
    for heading in ("accuracy", *_IOU):
        table.add_column(heading, justify="right", no_wrap=True)
    by_image: dict[str, list[Row]] = {}
    for row in rows:
        if row["level"] == "image":
            by_image.setdefault(row["image"], []).append(row)
    keys = ("pixel_accuracy", *(f"iou_{name}" for name in _IOU))
    for image, methods in list(by_image.items())[:MOST_IMAGES]:
        for row in methods:
            name = _name(image if row is methods[0] else "", 22)
            table.add_row(name, _name(row["method"]), *(_mark(row, key, methods) for key in keys))
        if len(methods) > 1:
            table.add_section()
    left_out = len(by_image) - MOST_IMAGES
    if left_out > 0:
        table.add_row(f"and {left_out} more")
    return table


def draw_object_table(rows: Sequence[Row]) -> Table:
    """Draw how well outlines and objects are met, over all images pooled."""
    table = _make_table("Outlines (boundary F1) and objects", ("method", "phase"))
    for heading in ("F1", "PQ", "true", "found", "matched", "splits", "merges"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in _pooled(rows):
        for name in _PHASES:
            outline = _decimal(row[f"boundary_f1_{name}"])
            method = _name(row["method"] if name == _PHASES[0] else "")
            if name == "clay":  # what lies between the objects
                table.add_row(method, name, outline, *[_NONE] * 6)
                continue
            counts = [str(row[key.format(name)]) for key in _OBJECTS]
            quality = _decimal(row[f"panoptic_quality_{name}"])
            table.add_row(method, name, outline, quality, *counts)
        table.add_section()
    return table


def draw_quantity_table(rows: Sequence[Row]) -> Table:
    """Draw the errors of what is computed from masks: fractions and size distributions.

    Fractions: truth and prediction pooled, and the mean magnitude of the error per image.
    """
    table = _make_table("Fractions (% of area) and diameters (ECD)", ("method", "phase"))
    for heading in ("truth", "found", "error", "per image", "ECD shift", "by area"):
        table.add_column(heading, justify="right", no_wrap=True)
    means = {row["method"]: row for row in rows if row["level"] == "mean" and _is_all(row)}
    for row in _pooled(rows):
        for name in ("pore", "silt"):
            mean = means[row["method"]][f"fraction_{name}_error_points"]
            table.add_row(
                _name(row["method"] if name == "pore" else ""),
                name,
                _decimal(row[f"fraction_{name}_truth_percent"], "{:.2f}"),
                _decimal(row[f"fraction_{name}_predicted_percent"], "{:.2f}"),
                _decimal(row[f"fraction_{name}_error_points"], "{:+.2f}"),
                _decimal(mean, "{:.2f}"),
                _distance(row, f"ecd_distance_{name}"),
                _distance(row, f"ecd_distance_by_area_{name}"),
            )
        table.add_section()
    return table


def draw_confusion_table(rows: Sequence[Row], method: str) -> Table:
    """Draw the pooled confusion matrix of a method, in percent of each true phase."""
    table = _make_table(f"Confusion of {_name(method, 40)} (% of the true phase)", ("truth",))
    pooled = next(row for row in _pooled(rows) if row["method"] == method)
    predicted = [*_PHASES]
    if any(pooled[f"{name}_as_void_pixels"] for name in _PHASES):
        predicted.append("void")
    for heading in (*(f"as {other}" for other in predicted), "pixels"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in _PHASES:
        counts = {o: pooled[f"{name}_as_{o}_pixels"] for o in (*_PHASES, "void")}
        total = sum(counts.values())
        shares = [f"{100 * counts[o] / total:.2f}" if total else _NONE for o in predicted]
        table.add_row(name, *shares, f"{total:,}")
    return table


def describe_absences(rows: Sequence[Row]) -> list[str]:
    """Return a sentence for every phase that some image has in neither truth nor prediction."""
    told = []
    for row in rows:
        if row["level"] == "mean" and _is_all(row):
            for name in _PHASES:
                count = row[f"absent_{name}"]
                if count:
                    images = "1 image has" if count == 1 else f"{count} images have"
                    told.append(
                        f"{row['method']}: {images} no {name} in truth and prediction "
                        f"and no part in the mean over images"
                    )
    return told


def _make_table(title: str, headings: Sequence[str]) -> Table:
    table = Table(
        title=Text(title), box=None, pad_edge=False, header_style="bold", title_style="bold"
    )
    table.title_justify = "left"
    table.min_width = len(title)  # else a narrow table breaks its title
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table


def _name(name: str, longest: int = 14) -> Text:
    """Keep the start and the end of a long name, so that the numbers have their room."""
    half = (longest - 1) // 2
    return Text(name if len(name) <= longest else f"{name[:half]}…{name[half + 1 - longest :]}")


def _pixel_cells(row: Row) -> list[str]:
    return [_decimal(row[key]) for key in ("pixel_accuracy", *(f"iou_{name}" for name in _IOU))]


def _mark(row: Row, key: str, methods: Sequence[Row]) -> Text:
    text = Text(_decimal(row[key]))
    if len(methods) > 1 and row[key] == max((m[key] for m in methods), key=_known):
        text.stylize("bold")
    return text


def _known(value: float | None) -> float:
    return -1.0 if value is None or value != value else value


def _pooled(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["level"] == "pooled" and _is_all(row)]


def _is_all(row: Row) -> bool:
    return bool(row["split"] == "all")


def _decimal(value: float | None, form: str = "{:.3f}") -> str:
    return _NONE if value is None or value != value else form.format(value)


def _distance(row: Row, key: str) -> str:
    for unit, name in (("um", "µm"), ("px", "px")):
        value = row[f"{key}_{unit}"]
        if value is not None and value == value:
            return f"{value:.3f} {name}"
    return _NONE
