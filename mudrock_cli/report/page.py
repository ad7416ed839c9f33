"""The page: one HTML file that needs no network, from tables, pictures and figures."""

import base64
import gzip
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from mudrock_cli import __version__
from mudrock_cli.measure.schema import INSTANCES, SUMMARY
from mudrock_cli.measure.sizes import name_sorting
from mudrock_cli.report.figures import inline_svg
from mudrock_cli.report.overlay import choose_length_um, format_bar_length
from mudrock_cli.report.tables import (
    CHANCE,
    MISSING,
    WITHIN,
    Row,
    Tables,
    find_interval,
    format_estimate,
    format_length,
    format_number,
    format_share,
    gather_warnings,
    read_provenance,
)
from mudrock_cli.report.viewer import Pictures

if TYPE_CHECKING:
    import pandas as pd

Svgs = Mapping[str, str]
"""The figures of a section as SVG, by name."""

_SCRIPTS = ("rows.js", "table.js", "viewer.js", "start.js")
_BAR = 0.22  # of a picture's width that its scale bar may take
_THINGS = {"pore": "pores", "silt": "silt grains"}
_LARGEST = 25  # objects shown to readers without a script


class Fact(NamedTuple):
    """A line of a table: what, how much, and what to know about it."""

    title: str
    text: str
    note: str = ""


def render_page(
    tables: Tables,
    figures: Mapping[str, Svgs],
    pictures: Mapping[str, Pictures | str],
    provenance: Sequence[Fact],
) -> str:
    """Return the page.

    Parameters
    ----------
    tables : Tables
        What was measured.
    figures : mapping of str to mapping of str to str
        The sections of `draw_report`, each figure as SVG.
    pictures : mapping of str to Pictures or str
        The viewer of each image, or why there is none.
    provenance : sequence of Fact
        How tables and page were made.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {
        "share": format_share,
        "length": format_length,
        "number": format_number,
        "both": _join,
        "sizes": tabulate_sizes,
        "facts": list_facts,
        "made": describe_making,
    }

    def inline(section: str) -> list[Markup]:
        key = f"f{list(figures).index(section)}x" if section in figures else ""
        return [
            Markup(inline_svg(svg, f"{key}{index}", name.replace("_", " ")))
            for index, (name, svg) in enumerate(figures.get(section, {}).items())
        ]

    count, largest = len(tables.images), tables.instances.nlargest(_LARGEST, "area_um2")
    data, columns = pack_rows(tables.instances)
    layout = {
        "rows": len(tables.instances),
        "columns": columns,
        "images": [row["image"] for row in tables.images],
    }
    named = f"{tables.path.stem}: {count} micrographs" if count > 1 else tables.images[0]["image"]
    return environment.from_string(_asset("page.html")).render(
        version=__version__,
        title=named,
        tables=tables,
        pooled=tables.pooled,
        remarks=_list_remarks(tables),
        warnings=_list_warnings(tables),
        image_warnings=gather_warnings(tables.images) if count > 1 else [],
        inline=inline,
        depth="depth" in figures,
        viewers=[_describe_viewer(row, pictures[row["image"]]) for row in tables.images],
        limit_um=max(row["resolvable_ecd_um"] for row in tables.images),
        titles=[title for _, title, _ in SHOWN],
        largest=[_describe_object(row) for row in largest.to_dict("records")],
        provenance=provenance,
        mixed=len({row["pixel_size_nm"] for row in tables.images}) > 1,
        meanings=[*INSTANCES, *SUMMARY],
        style=Markup(_asset("style.css")),
        script=Markup("\n".join(_asset(name) for name in _SCRIPTS)),
        # A name must not end the script element that it travels in.
        layout=Markup(json.dumps(layout, ensure_ascii=False).replace("<", "\\u003c")),
        rows=data,
        missing=MISSING,
    )


def _asset(name: str) -> str:
    return (files("mudrock_cli.report") / "assets" / name).read_text(encoding="utf-8")


def _list_warnings(tables: Tables) -> list[str]:
    """Return what is said of all images together, or of the only one, and of no image alone."""
    if len(tables.images) == 1:
        both = (*(tables.images[0]["warnings"] or ()), *(tables.pooled["warnings"] or ()))
        return list(dict.fromkeys(both))
    said = {text for row in tables.images for text in row["warnings"] or ()}
    counted = f" of {len(tables.images)} images: "
    return [
        text for text in tables.pooled["warnings"] or () if text not in said and counted not in text
    ]


def _join(texts: tuple[str, str], unit: str = "") -> str:
    """Return a figure and its interval for a cell of a table, a unit in place of per cent."""
    figure, interval = texts[0], texts[1].removesuffix(WITHIN)
    cell = f"{figure} ({interval})" if interval else figure
    return cell.replace("%", unit) if unit else cell


def _list_remarks(tables: Tables) -> Iterator[str]:
    """Yield what belongs beside the figures: what clay is, and what no interval holds."""
    least = tables.pooled["min_silt_um"]
    yield (
        "Clay is all that is neither pore nor silt: organic matter and pyrite too, and silt "
        f"regions up to {least:g} µm."
    )
    if least := tables.pooled["min_pore_um"]:
        share = format_number(100 * tables.pooled["small_pore_fraction"], 2)
        yield (
            f"Numbers, sizes, directions and spacing of pores are of those of {least:g} µm and "
            f"larger; smaller ones, {share} % of the area, are in the porosity alone."
        )
    intervals = "The intervals hold the chance of where fields lie, not the errors of the masks."
    models = [read_provenance(row).get("model") for row in tables.images]
    model = models[0] if all(each == models[0] for each in models) else None
    yield " ".join([intervals, *_describe_held_out(model if isinstance(model, dict) else {})])
    outlines = {find_outlines(row) for row in tables.images}
    if outlines == {"labels"}:
        yield (
            "Outlines are those of the published labels, which draw pores some 10 nm and silt some "
            "145 nm inside what is visible, so that both fractions read low."
        )
    elif outlines == {"exact"}:
        yield "Outlines are the visible ones of pores and grains."
    elif len(outlines) > 1:
        yield "The masks differ in where outlines are drawn; their fractions cannot be compared."


def _describe_held_out(model: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence on how a model did on images that it had not seen, if its masks tell it."""
    found = model.get("held_out")
    if not isinstance(found, dict) or not isinstance(found.get("images"), int):
        return
    where = f"On {found['images']} images that it had not seen, the model {model.get('name', '')}"
    errors = [
        f"{format_number(found[name], 2)} points in {word}"
        for name, word in (
            ("porosity_error_points", "porosity"),
            ("silt_error_points", "the silt fraction"),
        )
        if isinstance(found.get(name), float)
    ]
    iou = found.get("iou")
    overlaps = [
        f"{value:.2f} for {word}"
        for phase, word in (("pore", "pores"), ("silt", "silt"))
        if isinstance(iou, dict) and isinstance(value := iou.get(phase), float)
    ]
    if errors:
        yield f"{where} was off by {' and '.join(errors)} on average."
    if overlaps:
        start = "Its overlap" if errors else f"{where} had an overlap"
        verb = " with the labels was " if errors else " with the labels of "
        yield f"{start}{verb}{' and '.join(overlaps)} (intersection over union)."
    if (errors or overlaps) and isinstance(found.get("pipeline"), str):
        yield f"That was {found['pipeline']}."


def find_outlines(row: Row) -> str:
    """Return where a mask draws outlines: ``exact`` or ``labels``; nothing if it is silent."""
    found = read_provenance(row)
    for place in (found, found.get("options"), found.get("results")):
        value = place.get("outlines") if isinstance(place, dict) else None
        if value in ("exact", "labels"):
            return str(value)
    return ""


def _describe_viewer(row: Row, found: Pictures | str) -> dict[str, Any]:
    """Return the pictures of an image as URLs with their scale, or why there are none."""
    if isinstance(found, str):
        return {"missing": found}
    um = row["pixel_size_nm"] / 1e3 * row["width_px"] / found.width
    bar = choose_length_um(_BAR * um * found.width)
    return {
        "missing": "",
        "width": found.width,
        "height": found.height,
        "grey": found.grey and _to_url(found.grey),
        "phases": _to_url(found.phases),
        "labels": _to_url(found.labels),
        "um_per_pixel": f"{um:.9g}",
        "bar_percent": f"{100 * bar / (um * found.width):.3f}",
        "bar_below": f"{100 * found.below:.2f}",  # not over the scale bar that a data bar has
        "bar_text": format_bar_length(bar),
    }


def _to_url(picture: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(picture).decode("ascii")


# The figures of a summary row as lines of a table, in words a reader knows.


class SizeCell(NamedTuple):
    """A size percentile, its interval, the figure corrected for the frame, and what to know."""

    figure: str
    interval: str
    corrected: str
    note: str


def tabulate_sizes(row: Row, limit_um: float) -> list[tuple[str, str, list[SizeCell]]]:
    """Return phase, title, and D10, D50 and D90 by number and by area; phases without objects not.

    `limit_um` is the least diameter that is resolved in all images of the row.
    """

    def describe(stem: str) -> SizeCell:
        value, corrected = row[f"{stem}_um"], row[f"{stem}_corrected_um"]
        low, high, _ = find_interval(row, stem, "_um")
        figure, interval = format_estimate(corrected, low, high)
        return SizeCell(
            format_number(value),
            interval,
            "" if corrected is None else figure,
            "not resolved" if value < limit_um else "",
        )

    return [
        (
            phase,
            f"{things} by {basis}",
            [describe(f"{phase}_ecd_d{percent}_{basis}") for percent in (10, 50, 90)],
        )
        for phase, things in _THINGS.items()
        for basis in ("area", "number")
        if row[f"{phase}_ecd_d10_{basis}_um"] is not None
    ]


def describe_making(row: Row) -> str:
    """Say how a mask was made, from its provenance."""
    found = read_provenance(row)
    parts = []
    for key in ("method", "model", "recipe"):
        value = found.get(key)
        if isinstance(value, dict):
            name, digest = value.get("name", ""), str(value.get("sha256", ""))
            value = f"{name} ({digest[:12]})" if digest else name
        if value:
            parts.append(f"{key} {value}" if key != "method" else str(value))
    if outlines := find_outlines(row):
        parts.append(f"outlines {outlines}")
    if found.get("version"):
        parts.append(f"mudrock {found['version']}")
    return ", ".join(parts) or "not told by the mask"


def list_facts(row: Row) -> list[Fact]:
    """Return what else a summary row tells; lines without a figure are left out."""
    return [fact for fact in _list_facts(row) if fact.text not in ("", MISSING)]


def _list_facts(row: Row) -> Iterator[Fact]:
    yield Fact("area analysed", f"{format_number(row['area_analysed_um2'], 4)} µm²")
    if row["pixel_size_nm"] is not None:
        size = f"{row['pixel_size_nm']:.6g} nm"
        yield Fact("pixel size", size, f"from {row['pixel_size_source']}")
    clay, interval = format_share(row, "clay_fraction")
    yield Fact("clay fraction", clay, f"{interval}; all that is neither pore nor silt".strip("; "))
    notes = []
    if small := row["small_silt_regions"]:
        share = format_number(100 * (row["mask_silt_fraction"] - row["silt_fraction"]), 2)
        least = f"{row['min_silt_um']:g} µm"
        notes.append(f"{small:,} silt regions up to {least}, {share} % of the area, count as clay")
    if small := row["small_pores"]:
        share, least = format_number(100 * row["small_pore_fraction"], 2), row["min_pore_um"]
        notes.append(f"{small:,} pores under {least:g} µm, {share} % of the area, are not counted")
    counts = f"{row['pores']:,} pores, {row['silt_grains']:,} silt grains"
    yield Fact("objects", counts, "; ".join(notes))
    for phase, things in _THINGS.items():
        if number := row[f"{phase}_corrected_number"]:
            unstable = "; unstable" if row[f"{phase}_correction_unstable"] else ""
            yield Fact(
                f"{things} whole in the frame",
                f"{row[f'{phase}_whole']:,}",
                f"corrected number {format_number(number)}, "
                f"effective number {format_number(row[f'{phase}_effective_number'])}, "
                f"largest weight {format_number(row[f'{phase}_largest_weight'])}{unstable}",
            )
    if (near := row["pore_area_near_limit"]) is not None:
        limit = format_number(2 * row["resolvable_ecd_um"])
        share = f"{100 * near:.1f} %"
        yield Fact("pore area near the resolution", share, f"in pores up to {limit} µm")
    if row["window_side_um"]:
        windows = [
            f"{name}: "
            + (
                "not reached in this field"
                if (size := row[f"{phase}_window_um"]) is None or not math.isfinite(size)
                else f"windows of {format_number(size, 2)} µm or more"
            )
            for phase, name in (("pore", "porosity"), ("silt", "silt fraction"))
        ]
        yield Fact("representative window", "; ".join(windows), "spread under 10 %")
    for basis in ("area", "number"):
        stem = f"silt_{basis}"
        if (mean := row[f"{stem}_mean_phi"]) is not None:
            sorting = row[f"{stem}_sorting_phi"]
            yield Fact(
                f"silt by {basis} (Folk and Ward)",
                f"mean {mean:.2f} φ ({format_number(1e3 * 2**-mean)} µm), "
                f"sorting {format_number(sorting)} φ",
                f"{name_sorting(math.nan if sorting is None else sorting)}; "
                f"skewness {format_number(row[f'{stem}_skewness'], 2)}, "
                f"kurtosis {format_number(row[f'{stem}_kurtosis'], 2)}",
            )
    for phase, things in (("silt", "silt"), ("pore", "pores")):
        angle, p = row[f"{phase}_orientation_deg"], row[f"{phase}_orientation_p"]
        if angle is not None and p is not None:
            found = "a common direction" if p < CHANCE else "no common direction shown"
            strength = format_number(row[f"{phase}_orientation_strength"], 2)
            yield Fact(
                f"long axes of {things}",
                f"{angle:.0f}°, strength {strength}",
                f"{found} (Rayleigh {_format_p(p)})",
            )
        index, p = row[f"{phase}_clark_evans"], row[f"{phase}_clark_evans_p"]
        if index is not None and p is not None:
            found = "random" if p >= CHANCE else "clustered" if index < 1 else "regular"
            note = f"{found} ({_format_p(p)})"
            yield Fact(f"spacing of {things}", f"Clark–Evans {index:.2f}", note)
    if row["silt_contiguity"] is not None:
        contacts = format_number(row["silt_contacts_per_grain"], 2)
        yield Fact(
            "contiguity of silt",
            f"{row['silt_contiguity']:.2f}",
            f"0 matrix-supported, near 1 grain-supported; {contacts} contacts per grain",
        )


def _format_p(p: float) -> str:
    return "p < 0.001" if p < 1e-3 else f"p = {p:.2g}"


# The rows of the instance table, packed: gzipped columns in base64. Numbers travel as 32-bit
# floats with eleven bits of mantissa (a relative error under 0.03 %, shown with three digits),
# bytes of one place together, because that packs best. 100,000 objects need about 3 MB.

SHOWN: tuple[tuple[str, str, int], ...] = (
    ("image", "image", 0),
    ("label", "label", 0),
    ("phase", "phase", 0),
    ("counted_as", "counted as", 0),
    ("ecd_um", "ECD (µm)", 3),
    ("area_um2", "area (µm²)", 3),
    ("size_class", "size class", 0),
    ("feret_max_um", "Feret max (µm)", 3),
    ("feret_min_um", "Feret min (µm)", 3),
    ("aspect_ratio", "aspect ratio", 3),
    ("orientation_deg", "direction (°)", 3),
    ("circularity", "circularity", 3),
    ("solidity", "solidity", 3),
    ("nearest_neighbour_um", "nearest (µm)", 3),
    ("host", "host", 0),
    ("mean_grey", "grey", 3),
    ("mean_confidence", "confidence", 3),
    ("touches_border", "cut by frame", 0),
)
"""Columns of the instance table on the page: name, heading, significant digits (0: a word)."""


def pack_rows(instances: "pd.DataFrame") -> tuple[str, list[dict[str, Any]]]:
    """Pack the instance table for the page's script.

    Parameters
    ----------
    instances : pandas.DataFrame
        The instance table. Columns that hold nothing are left out.

    Returns
    -------
    data : str
        Base64 of the gzipped columns, one after the other.
    columns : list of dict
        Name, title, kind, digits and words of each column.
    """
    parts, columns = [], []
    for name, title, digits in SHOWN:
        column = instances[name]
        if len(column) and column.isna().all():
            continue
        words: list[str] = []
        if name == "label":
            kind, values = "uint32", column.to_numpy("<u4")
        elif digits:
            kind, values = "float32", _round_mantissa(column.to_numpy("<f4"))
        else:
            if column.dtype == bool:
                column = column.map({True: "yes", False: "no"})
            codes, found = column.factorize()  # -1 for no word
            words = [*found, ""]
            kind, values = "word", (codes % len(words)).astype("<u2")
        # The first bytes of all values, then the second bytes, and so on.
        parts.append(values.view(np.uint8).reshape(len(values), values.itemsize).T.tobytes())
        columns.append(
            {"name": name, "title": title, "kind": kind, "digits": digits, "words": words}
        )
    data = gzip.compress(b"".join(parts), 6, mtime=0)
    return base64.b64encode(data).decode("ascii"), columns


def _round_mantissa(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Round to eleven bits of mantissa; NaN and infinity stay."""
    bits = values.view(np.uint32)
    rounded = ((bits + np.uint32(1 << 11)) & np.uint32(0xFFFFF000)).view(np.float32)
    return np.where(np.isfinite(values), rounded, values).astype("<f4")


def _describe_object(row: Mapping[Any, Any]) -> list[str]:
    """Return a row of the instance table in words."""
    cells = []
    for name, _, digits in SHOWN:
        value = row[name]
        if isinstance(value, bool):
            cells.append("yes" if value else "no")
        elif digits:
            cells.append(format_number(value, digits))
        else:
            cells.append(str(value) if value == value and value is not None else MISSING)
    return cells
