"""``mudrock report``: the tables of ``mudrock stats`` to one page that people want to look at."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mudrock_cli.errors import UsageError
from mudrock_cli.files import check_writable, remove_leftovers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mudrock_cli.report.page import Fact
    from mudrock_cli.report.tables import Tables
    from mudrock_cli.report.viewer import Pictures


_PAGE_BYTES = 2_600_000
_LEAST_BYTES, _MOST_BYTES = 40_000, 420_000


def report(
    table: Annotated[
        Path, typer.Argument(metavar="REPORT.PARQUET", help="Instance table of mudrock stats.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="The page; by default beside the table, .html."
        ),
    ] = None,
    micrographs: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the micrographs are, for the viewers."),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Save the figures there as SVG, PDF and PNG."),
    ] = None,
) -> None:
    """Make a page of the figures, to read, to send and to print.

    One HTML file that needs no network: porosity and silt fraction with their intervals and what
    speaks against them, a viewer for each micrograph, size distributions, fabric, and the table of
    all grains and pores to sort and filter.
    """
    from mudrock_cli.report.figures import save_figures
    from mudrock_cli.report.page import render_page, write_page
    from mudrock_cli.report.tables import read_tables

    start = time.monotonic()
    page = out or table.with_suffix(".html")
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out {page}: no name of a page", "for example report.html")
    if micrographs is not None and not micrographs.is_dir():
        raise UsageError(f"--micrographs {micrographs}: no folder", "give the micrographs' folder")
    tables = read_tables(table)
    for folder in (page.parent, figures):
        if folder is not None:
            check_writable(folder)
            remove_leftovers(folder)
    given = ["report", str(table)]
    for option, value in (("--out", out), ("--micrographs", micrographs), ("--figures", figures)):
        given += [option, str(value)] if value is not None else []
    drawn = _draw_figures(tables)
    pictures = _make_pictures(tables, micrographs)
    write_page(page, render_page(tables, drawn, pictures, _tell_provenance(tables, given)))
    if figures is not None:
        from mudrock_cli.report.figures import name_files

        files = save_figures(figures, name_files(drawn))
        typer.echo(f"{len(files)} files of figures in {figures}")
    missing = [name for name, found in pictures.items() if isinstance(found, str)]
    if missing:
        typer.echo(f"warning: no mask to show for {', '.join(missing)}", err=True)
    megabytes = page.stat().st_size / 1e6
    typer.echo(f"{page} ({megabytes:.1f} MB, {time.monotonic() - start:.1f} s)")


def _draw_figures(tables: "Tables") -> "dict[str, dict[str, Figure]]":
    """Draw all figures: of images compared, of groups, of all together, and of each image."""
    from mudrock_cli.report.figures import (
        draw_comparison,
        draw_objects,
        draw_texture,
        pool_objects,
        split_objects,
    )

    objects = split_objects(tables)
    names = [row["image"] for row in tables.images]
    pores, silt = (pool_objects([objects[name, phase] for name in names]) for phase in _PHASES)
    single = tables.images[0] if len(names) == 1 else tables.pooled
    limits = [row["resolvable_ecd_um"] for row in tables.images]
    drawn = {"pooled": draw_objects(single, pores, silt, max(limits))}
    if len(names) > 1:
        drawn["comparison"] = draw_comparison(tables.images, tables.pooled)
        for row, limit in zip(tables.images, limits, strict=True):
            pores, silt = (objects[row["image"], phase] for phase in _PHASES)
            drawn[f"image {row['image']}"] = draw_objects(row, pores, silt, limit)
    for row in tables.images:
        drawn[f"texture {row['image']}"] = draw_texture(row)
    if tables.groups:
        drawn["groups"] = draw_comparison(tables.groups, tables.pooled)
    return drawn


def _make_pictures(tables: "Tables", micrographs: Path | None) -> "dict[str, Pictures | str]":
    """Make the pictures of each viewer, or say why there is none."""
    from mudrock_cli.report.viewer import find_source, make_pictures

    share = _PAGE_BYTES // len(tables.images)
    budget = min(max(share, _LEAST_BYTES), _MOST_BYTES)
    found: dict[str, Pictures | str] = {}
    for row in tables.images:
        source = find_source(tables, row, micrographs)
        found[row["image"]] = (
            source.missing
            if source.mask is None
            else make_pictures(source.mask, source.micrograph, budget)
        )
    return found


def _tell_provenance(tables: "Tables", arguments: Sequence[str]) -> "list[Fact]":
    """Say how tables and page were made."""
    import shlex

    from mudrock_cli import __version__
    from mudrock_cli.report.page import Fact

    options = tables.facts.get("options") or {}
    told = dict(options)
    if "min_silt_um" in told:
        told["min_silt"] = f"{told.pop('min_silt_um'):g}um"
    given = [f"--{key.replace('_', '-')} {value}" for key, value in told.items() if value]
    return [
        Fact("tables", tables.path.name, f"mudrock stats {tables.facts.get('version', '')}"),
        Fact("options of stats", ", ".join(given) or "none"),
        Fact("page", f"mudrock {__version__}", shlex.join(["mudrock", *arguments])),
        Fact(
            "intervals",
            "95 %, bootstrap over blocks and images, 999 draws, fixed seed",
            "never over objects, which resemble their neighbours",
        ),
    ]


_PHASES = ("pore", "silt")
