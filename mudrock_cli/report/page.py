"""The page: one HTML file that needs no network, from tables, pictures and figures."""

import base64
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from mudrock_cli import __version__
from mudrock_cli.image.placement import placing
from mudrock_cli.measure.tables.instance_columns import INSTANCES
from mudrock_cli.measure.tables.summary_columns import SUMMARY
from mudrock_cli.report.answer import list_cards, tell_answer
from mudrock_cli.report.facts import Fact, describe_making, list_facts, tabulate_sizes
from mudrock_cli.report.pictures import Pictures
from mudrock_cli.report.rows import SHOWN, largest_rows, pack_rows
from mudrock_cli.report.scale_bar import choose_length_um, format_length
from mudrock_cli.report.style import to_svg
from mudrock_cli.report.tables import Row, Tables
from mudrock_cli.report.words import MISSING, format_number, format_share, gather_warnings
from mudrock_cli.report.words import format_length as format_size

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    with placing(path, "choose another --out, or make room") as part:
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
            "bar_text": format_length(bar),
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
