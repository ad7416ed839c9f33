"""The rows of the instance table, packed for the page: gzipped columns in base64.

Numbers travel as 32-bit floats with eleven bits of mantissa (a relative error under 0.03 %, shown
with three or four digits), bytes of one place together, because that packs best. 100,000 objects
need about 3 MB.
"""

import base64
import gzip
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from mudrock_cli import __version__
from mudrock_cli.files import atomic_write
from mudrock_cli.measure.schema import INSTANCES, SUMMARY
from mudrock_cli.measure.sizes import name_sorting
from mudrock_cli.report.figures import to_svg
from mudrock_cli.report.overlay import choose_length_um, format_bar_length
from mudrock_cli.report.tables import (
    CHANCE,
    MISSING,
    Row,
    Tables,
    describe_window,
    format_estimate,
    format_length,
    format_number,
    format_share,
    gather_warnings,
    read_provenance,
)
from mudrock_cli.report.tables import format_length as format_size
from mudrock_cli.report.viewer import Pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Shown:
    """A column that the page shows.

    Parameters
    ----------
    name : str
        Its name in the instance table.
    title : str
        Its heading.
    digits : int
        Significant digits; 0 for words and labels.
    """

    name: str
    title: str
    digits: int = 0


SHOWN: tuple[Shown, ...] = (
    Shown("image", "image"),
    Shown("label", "label"),
    Shown("phase", "phase"),
    Shown("counted_as", "counted as"),
    Shown("ecd_um", "ECD (µm)", 3),
    Shown("area_um2", "area (µm²)", 3),
    Shown("size_class", "size class"),
    Shown("feret_max_um", "Feret max (µm)", 3),
    Shown("feret_min_um", "Feret min (µm)", 3),
    Shown("aspect_ratio", "aspect ratio", 3),
    Shown("orientation_deg", "direction (°)", 3),
    Shown("circularity", "circularity", 3),
    Shown("solidity", "solidity", 3),
    Shown("nearest_neighbour_um", "nearest (µm)", 3),
    Shown("host", "host"),
    Shown("mean_grey", "grey", 3),
    Shown("mean_confidence", "confidence", 3),
    Shown("touches_border", "cut by frame"),
)


@dataclass(frozen=True)
class PackedRows:
    """The instance table for a page.

    Parameters
    ----------
    data : str
        Base64 of the gzipped columns, one after the other.
    layout : mapping
        For the page's script: number of rows, and name, title, kind, words of each column.
    """

    data: str
    layout: Mapping[str, Any]


def pack_rows(instances: pa.Table) -> PackedRows:
    """Pack the instance table.

    Parameters
    ----------
    instances : pyarrow.Table
        Columns as in `INSTANCES`. Columns that hold nothing are left out.
    """
    parts, layout = [], []
    for shown in SHOWN:
        column = instances[shown.name].combine_chunks()
        if column.null_count == len(column) and len(column):
            continue
        words: list[str] = []
        if shown.name == "label":
            kind, packed = "uint32", _shuffle(column.to_numpy().astype("<u4"))
        elif shown.digits:
            kind, packed = "float32", _shuffle(_round_mantissa(_to_floats(column)))
        else:
            kind = "word"
            words, codes = _to_codes(column)
            packed = _shuffle(codes)
        parts.append(packed)
        layout.append(
            {
                "name": shown.name,
                "title": shown.title,
                "kind": kind,
                "digits": shown.digits,
                "words": words,
            }
        )
    data = gzip.compress(b"".join(parts), 6, mtime=0)
    return PackedRows(
        base64.b64encode(data).decode("ascii"), {"rows": len(instances), "columns": layout}
    )


def largest_rows(instances: pa.Table, count: int = 25) -> list[Mapping[str, Any]]:
    """Return the largest objects, for readers without a script."""
    order = np.argsort(-instances["area_um2"].to_numpy(), kind="stable")[:count]
    taken: list[Mapping[str, Any]] = (
        instances.select([shown.name for shown in SHOWN]).take(pa.array(order)).to_pylist()
    )
    return taken


def _to_floats(column: pa.Array) -> npt.NDArray[np.float32]:
    floats: npt.NDArray[np.float32] = column.to_numpy(zero_copy_only=False).astype("<f4")
    return floats


def _to_codes(column: pa.Array) -> tuple[list[str], npt.NDArray[np.uint16]]:
    """Return the words of a column and the number of each row's word; the last is "no word"."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.string()).dictionary_encode()
        words = ["yes" if word == "true" else "no" for word in column.dictionary.to_pylist()]
    else:
        column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        words = column.dictionary.to_pylist()
    codes = column.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
    return [*words, ""], codes.astype("<u2")


def _round_mantissa(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Round to eleven bits of mantissa; NaN and infinity stay."""
    bits = values.view(np.uint32)
    rounded = ((bits + np.uint32(1 << 11)) & np.uint32(0xFFFFF000)).view(np.float32)
    return np.where(np.isfinite(values), rounded, values).astype("<f4")


def _shuffle(values: npt.NDArray[Any]) -> bytes:
    """Put the first bytes of all values before the second bytes, and so on."""
    return values.view(np.uint8).reshape(len(values), values.itemsize).T.tobytes()


# The answer first: porosity and silt fraction in one sentence, and in large figures.


@dataclass(frozen=True)
class Card:
    """A large figure with its interval.

    Parameters
    ----------
    phase : str
        ``pore`` or ``silt``, for the colour.
    title, figure, interval, note : str
        What, how much, from where to where, and what to know.
    """

    phase: str
    title: str
    figure: str
    interval: str
    note: str


def tell_answer(tables: Tables) -> Markup:
    """Return the answer as a sentence."""
    row, count = tables.pooled, len(tables.images)
    area = format_number(row["area_analysed_um2"], 3)
    where = f"{count} micrographs" if count > 1 else "this micrograph"
    parts = []
    for name, column in (("porosity", "porosity"), ("the silt fraction", "silt_fraction")):
        figure, interval = format_share(row, column)
        limits = Markup(" (95 % interval {})").format(interval) if interval else ""
        parts.append(Markup("{} is <b>{}</b>{}").format(name, figure, limits))
    return Markup("On {} µm² of {}, {} and {}.").format(area, where, *parts)


def list_cards(row: Row) -> list[Card]:
    """Return the large figures of a summary row."""
    least = f"{row['min_silt_um']:g} µm"
    pore_size, silt_size = (
        (figure, interval or ("no interval: too few objects" if figure != MISSING else ""))
        for figure, interval in (
            format_length(row, f"{phase}_ecd_d50_area") for phase in ("pore", "silt")
        )
    )
    pores, grains = f"{row['pores']:,}", f"{row['silt_grains']:,}"
    return [
        Card("pore", "Porosity", *format_share(row, "porosity"), f"{pores} pores"),
        Card(
            "silt",
            "Silt fraction",
            *format_share(row, "silt_fraction"),
            f"{grains} grains larger than {least}",
        ),
        Card(
            "pore",
            "Pore size, D50",
            *pore_size,
            "half of the pore area is in smaller pores",
        ),
        Card(
            "silt",
            "Silt size, D50",
            *silt_size,
            "half of the silt area is in smaller grains",
        ),
    ]


# The figures of a summary row as lines of a table, in words a reader knows.


@dataclass(frozen=True)
class Fact:
    """A line: what, how much, and what to know about it."""

    title: str
    text: str
    note: str = ""


@dataclass(frozen=True)
class SizeCell:
    """A size percentile, its interval, the figure corrected for the frame, and what to know."""

    figure: str
    interval: str
    corrected: str
    note: str


@dataclass(frozen=True)
class SizeLine:
    """D10, D50 and D90 of a phase, by number or by area."""

    phase: str
    title: str
    cells: tuple[SizeCell, ...]


def tabulate_sizes(row: Row, limit_um: float) -> list[SizeLine]:
    """Return the size percentiles of a summary row, phases without objects left out.

    Parameters
    ----------
    row : Row
        The summary row.
    limit_um : float
        Least diameter that is resolved in all its images.
    """
    lines = []
    for phase, things in (("pore", "pores"), ("silt", "silt grains")):
        for basis in ("area", "number"):
            stems = [f"{phase}_ecd_d{percent}_{basis}" for percent in (10, 50, 90)]
            if row[f"{stems[0]}_um"] is None:
                continue
            cells = tuple(_tell_size(row, stem, limit_um) for stem in stems)
            lines.append(SizeLine(phase, f"{things} by {basis}", cells))
    return lines


def _tell_size(row: Row, stem: str, limit_um: float) -> SizeCell:
    limits = (row[f"{stem}_um"], row[f"{stem}_low_um"], row[f"{stem}_high_um"])
    figure, interval = format_estimate(*limits)
    corrected = row[f"{stem}_corrected_um"]
    return SizeCell(
        figure,
        interval,
        "" if corrected is None else format_number(corrected),
        "not resolved" if limits[0] < limit_um else "",
    )


def list_facts(row: Row) -> list[Fact]:
    """Return what else a summary row tells; lines without a figure are left out."""
    return [fact for fact in _facts(row) if fact.text not in ("", MISSING)]


def describe_making(row: Row) -> str:
    """Say how a mask was made, from its provenance."""
    told = read_provenance(row)
    parts = []
    for key in ("method", "model", "recipe"):
        value = told.get(key)
        if isinstance(value, dict):
            name, digest = value.get("name", ""), str(value.get("sha256", ""))
            value = f"{name} ({digest[:12]})" if digest else name
        if value:
            parts.append(f"{key} {value}" if key != "method" else str(value))
    if told.get("version"):
        parts.append(f"mudrock {told['version']}")
    return ", ".join(parts) or "not told by the mask"


def _facts(row: Row) -> Iterator[Fact]:
    yield Fact("area analysed", f"{format_number(row['area_analysed_um2'], 4)} µm²")
    if row["pixel_size_nm"] is not None:
        size = f"{row['pixel_size_nm']:.6g} nm"
        yield Fact("pixel size", size, f"from {row['pixel_size_source']}")
    clay, interval = format_share(row, "clay_fraction")
    yield Fact("clay fraction", clay, interval)
    small, least = row["small_silt_regions"], row["min_silt_um"]
    share = format_number(100 * (row["mask_silt_fraction"] - row["silt_fraction"]), 2)
    yield Fact(
        "objects",
        f"{row['pores']:,} pores, {row['silt_grains']:,} silt grains",
        f"{small:,} silt regions up to {least:g} µm, {share} % of the area, count as clay"
        if small
        else "",
    )
    yield from _describe_frame(row)
    near = row["pore_area_near_limit"]
    if near is not None:
        limit = format_number(2 * row["resolvable_ecd_um"])
        share = f"{100 * near:.1f} %"
        yield Fact("pore area near the resolution", share, f"in pores up to {limit} µm")
    if row["window_side_um"]:
        windows = [describe_window(row, phase) for phase in ("pore", "silt")]
        yield Fact("representative window", "; ".join(windows), "spread under 10 %")
    yield from _describe_grading(row)
    yield from _describe_fabric(row)


def _describe_frame(row: Row) -> Iterator[Fact]:
    for phase, things in (("pore", "pores"), ("silt", "silt grains")):
        number = row[f"{phase}_corrected_number"]
        if not number:
            continue
        effective = format_number(row[f"{phase}_effective_number"])
        heaviest = format_number(row[f"{phase}_largest_weight"])
        unstable = "; unstable" if row[f"{phase}_correction_unstable"] else ""
        yield Fact(
            f"{things} whole in the frame",
            f"{row[f'{phase}_whole']:,}",
            f"corrected number {format_number(number)}, effective number {effective}, "
            f"largest weight {heaviest}{unstable}",
        )


def _describe_grading(row: Row) -> Iterator[Fact]:
    for basis in ("area", "number"):
        mean, sorting, skewness, kurtosis = (
            row[f"silt_{basis}_{name}"]
            for name in ("mean_phi", "sorting_phi", "skewness", "kurtosis")
        )
        if mean is None:
            continue
        yield Fact(
            f"silt by {basis} (Folk and Ward)",
            f"mean {mean:.2f} φ ({format_number(1e3 * 2**-mean)} µm), "
            f"sorting {format_number(sorting)} φ",
            f"{name_sorting(math.nan if sorting is None else sorting)}; "
            f"skewness {format_number(skewness, 2)}, kurtosis {format_number(kurtosis, 2)}",
        )


def _describe_fabric(row: Row) -> Iterator[Fact]:
    for phase, things in (("silt", "silt"), ("pore", "pores")):
        angle, p = row[f"{phase}_orientation_deg"], row[f"{phase}_orientation_p"]
        if angle is not None and p is not None:
            told = "a common direction" if p < CHANCE else "no common direction shown"
            strength = format_number(row[f"{phase}_orientation_strength"], 2)
            yield Fact(
                f"long axes of {things}",
                f"{angle:.0f}°, strength {strength}",
                f"{told} (Rayleigh {_tell_p(p)})",
            )
        index, p = row[f"{phase}_clark_evans"], row[f"{phase}_clark_evans_p"]
        if index is not None and p is not None:
            told = "random" if p >= CHANCE else "clustered" if index < 1 else "regular"
            yield Fact(
                f"spacing of {things}",
                f"Clark–Evans {index:.2f}",
                f"{told} ({_tell_p(p)})",
            )
    if row["silt_contiguity"] is not None:
        contacts = format_number(row["silt_contacts_per_grain"], 2)
        yield Fact(
            "contiguity of silt",
            f"{row['silt_contiguity']:.2f}",
            f"0 matrix-supported, near 1 grain-supported; {contacts} contacts per grain",
        )


def _tell_p(p: float) -> str:
    return "p < 0.001" if p < 1e-3 else f"p = {p:.2g}"


# The page: one HTML file that needs no network, from tables, pictures and figures.

Figures = Mapping[str, "Figure"]

_SCRIPTS = ("rows.js", "table.js", "viewer.js", "start.js")
_BAR = 0.22


def render_page(
    tables: Tables,
    figures: Mapping[str, Figures],
    pictures: Mapping[str, Pictures | str],
    provenance: Sequence[Fact],
) -> str:
    """Return the page.

    Parameters
    ----------
    tables : Tables
        What was measured.
    figures : mapping of str to mapping of str to Figure
        ``"comparison"``, ``"groups"``, ``"pooled"``, and for each image ``"image NAME"`` and
        ``"texture NAME"``.
    pictures : mapping of str to Pictures or str
        The viewer of each image, or why there is none.
    provenance : sequence of Fact
        How tables and page were made.
    """
    rows = pack_rows(tables.instances)
    layout = {**rows.layout, "images": [row["image"] for row in tables.images]}
    images = [
        _describe_image(index, row, figures, pictures) for index, row in enumerate(tables.images)
    ]
    several = len(images) > 1
    pixel_sizes = {row["pixel_size_nm"] for row in tables.images}
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return template.from_string(_asset("page.html")).render(
        version=__version__,
        title=_name_report(tables),
        lede=tell_answer(tables),
        cards=list_cards(tables.pooled),
        warnings=_list_warnings(tables),
        image_warnings=gather_warnings(tables.images) if several else [],
        overview=[_tell_image(index, row) for index, row in enumerate(tables.images)],
        comparison=_draw(figures.get("comparison", {}), "compare"),
        groups=[_tell_group(row) for row in tables.groups],
        group_figures=_draw(figures.get("groups", {}), "groups"),
        comparisons=[_tell_comparison(row) for row in tables.comparisons],
        pooled_figures=_draw(figures["pooled"], "pooled"),
        pooled_sizes=tabulate_sizes(
            tables.pooled, max(row["resolvable_ecd_um"] for row in tables.images)
        ),
        pooled_facts=list_facts(tables.pooled),
        images=images,
        titles=[shown.title for shown in SHOWN],
        largest=[_tell_object(row) for row in largest_rows(tables.instances)],
        count=f"{len(tables.instances):,}",
        table_name=tables.path.name,
        provenance=provenance,
        made=[_tell_making(row) for row in tables.images],
        mixed=len(pixel_sizes) > 1,
        meanings=[*INSTANCES, *SUMMARY],
        style=Markup(_asset("style.css")),
        script=Markup("\n".join(_asset(name) for name in _SCRIPTS)),
        # A name must not end the script element that it travels in.
        layout=Markup(json.dumps(layout, ensure_ascii=False).replace("<", "\\u003c")),
        rows=rows.data,
    )


def write_page(path: Path, page: str) -> None:
    """Write a page beside its place and move it there.

    Raises
    ------
    MudrockError
        If the file cannot be written.
    """
    with atomic_write(path, "choose another --out, or make room") as part:
        part.write_text(page, encoding="utf-8")


def _asset(name: str) -> str:
    return (files("mudrock_cli.report") / "assets" / name).read_text(encoding="utf-8")


def _name_report(tables: Tables) -> str:
    """Name a report after its one image, or after its file."""
    if len(tables.images) == 1:
        return str(tables.images[0]["image"])
    return f"{tables.path.stem}: {len(tables.images)} micrographs"


def _list_warnings(tables: Tables) -> list[str]:
    """Return what is said of all images together, or of the only one, and of no image alone."""
    if len(tables.images) == 1:
        return list(tables.images[0]["warnings"] or ())
    said = {text for row in tables.images for text in row["warnings"] or ()}
    return [text for text in tables.pooled["warnings"] or () if text not in said]


def _draw(figures: Figures, key: str) -> list[Markup]:
    """Return figures as SVG for the page."""
    return [
        Markup(to_svg(figure, f"{key}{index}", name.replace("_", " ")))
        for index, (name, figure) in enumerate(figures.items())
    ]


def _describe_image(
    index: int, row: Row, figures: Mapping[str, Figures], pictures: Mapping[str, Pictures | str]
) -> dict[str, Any]:
    """Return what the template needs of one image."""
    found = pictures[row["image"]]
    viewer: dict[str, Any] = {"pictures": None, "no_viewer": found}
    if isinstance(found, Pictures):
        um = row["pixel_size_nm"] / 1e3 * row["width_px"] / found.width
        bar = choose_length_um(_BAR * um * found.width)
        viewer = {
            "pictures": {
                "width": found.width,
                "height": found.height,
                "grey": found.grey and _to_url(found.grey),
                "phases": _to_url(found.phases),
                "labels": _to_url(found.labels),
            },
            "um_per_pixel": f"{um:.9g}",
            "bar_percent": f"{100 * bar / (um * found.width):.3f}",
            "bar_text": format_bar_length(bar),
        }
    return {
        "index": index,
        "anchor": f"image-{index + 1}",
        "name": row["image"],
        "porosity": format_share(row, "porosity"),
        "silt": format_share(row, "silt_fraction"),
        "warnings": row["warnings"] or [],
        "figures": _draw(figures.get(f"image {row['image']}", {}), f"image{index}"),
        "texture": _draw(figures.get(f"texture {row['image']}", {}), f"texture{index}"),
        "small": f"{row['min_silt_um']:g}" if row["small_silt_regions"] else "",
        "sizes": tabulate_sizes(row, row["resolvable_ecd_um"]),
        "facts": list_facts(row),
        **viewer,
    }


def _to_url(picture: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(picture).decode("ascii")


def _join(texts: tuple[str, str]) -> str:
    return f"{texts[0]} ({texts[1]})" if texts[1] else texts[0]


def _tell_image(index: int, row: Row) -> tuple[str, str, list[str]]:
    """Return anchor, name and figures of an image for the overview."""
    return (
        f"image-{index + 1}",
        row["image"],
        [
            _join(format_share(row, "porosity")),
            _join(format_share(row, "silt_fraction")),
            f"{row['pores']:,}",
            _join(format_size(row, "pore_ecd_d50_area")),
            f"{row['silt_grains']:,}",
            _join(format_size(row, "silt_ecd_d50_area")),
        ],
    )


def _tell_group(row: Row) -> list[str]:
    return [
        row["group"],
        str(row["images"]),
        _join(format_share(row, "porosity")),
        _join(format_share(row, "silt_fraction")),
        _join(format_size(row, "pore_ecd_d50_area")),
        _join(format_size(row, "silt_ecd_d50_area")),
    ]


def _tell_comparison(row: Row) -> list[str]:
    return [
        f"{row['group']} → {row['other_group']}",
        _join(format_share(row, "porosity_difference")),
        *(
            format_number(row[f"{phase}_{name}"], 2) + unit
            for phase in ("pore", "silt")
            for name, unit in (("ks", ""), ("wasserstein_um", " µm"))
        ),
    ]


def _tell_object(row: Mapping[str, Any]) -> list[str]:
    """Return a row of the instance table in words."""
    cells = []
    for shown in SHOWN:
        value = row[shown.name]
        if isinstance(value, bool):
            cells.append("yes" if value else "no")
        elif shown.digits:
            cells.append(format_number(value, shown.digits))
        else:
            cells.append(MISSING if value is None else str(value))
    return cells


def _tell_making(row: Row) -> list[str]:
    return [
        row["image"],
        f"{row['pixel_size_nm']:.6g} nm",
        row["pixel_size_source"],
        describe_making(row),
        (row["mask_sha256"] or "")[:16],
    ]
