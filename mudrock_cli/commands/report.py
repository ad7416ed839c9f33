"""``mudrock report``: the tables of ``mudrock stats`` to one page that people want to look at."""

import gc
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mudrock_cli import __version__
from mudrock_cli.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from mudrock_cli.report.page import Fact
    from mudrock_cli.report.tables import Tables


_LIVING = 100_000
"""Objects made between two looks for garbage."""


def report(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="REPORT",
            help="Instance table of mudrock stats, or the folder that holds it, or one of masks.",
        ),
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
    all grains and pores to sort and filter. A folder of masks without tables is measured first.
    """
    from mudrock_cli.files import check_writable, remove_leftovers, write_text
    from mudrock_cli.report.figures import (
        draw_report,
        lack_letters,
        name_files,
        save_figures,
        to_svg,
    )
    from mudrock_cli.report.page import render_page
    from mudrock_cli.report.tables import read_tables
    from mudrock_cli.report.viewer import make_viewers

    start = time.monotonic()
    # A figure is thousands of objects, none of which is garbage before the command ends.
    gc.set_threshold(_LIVING)
    place, (table, failed) = table, _find_table(table)
    page = out or table.with_suffix(".html")
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out {page}: no name of a page", "for example report.html")
    if micrographs is not None and not micrographs.is_dir():
        raise UsageError(f"--micrographs {micrographs}: no folder", "give the micrographs' folder")
    tables = read_tables(table)
    if place != table and (stale := _describe_stale(place, tables)):
        typer.echo(f"warning: {stale}", err=True)
    for folder in (page.parent, figures):
        if folder is not None:
            check_writable(folder)
            remove_leftovers(folder)
    given = ["mudrock", "report", str(table)]
    for option, value in (("--out", out), ("--micrographs", micrographs), ("--figures", figures)):
        given += [option, str(value)] if value is not None else []
    drawn = draw_report(tables)
    svgs = {
        section: {name: to_svg(figure) for name, figure in section_figures.items()}
        for section, section_figures in drawn.items()
    }
    viewers = make_viewers(
        tables, micrographs, lambda line: typer.echo(f"warning: {line}", err=True)
    )
    text = render_page(tables, svgs, viewers, _list_provenance(tables, given))
    write_text(page, text, "choose another --out, or make room")
    if figures is not None:
        files = save_figures(figures, name_files(drawn), name_files(svgs))
        typer.echo(f"{len(files)} files of figures in {figures}")
        names = [row[key] for row in (*tables.images, *tables.groups) for key in ("image", "group")]
        if lack_letters(filter(None, names)):
            typer.echo(
                "warning: the fonts of this machine lack letters of some names: the page and the "
                "SVG files have them, PDF and PNG show boxes",
                err=True,
            )
    missing = [name for name, found in viewers.items() if isinstance(found, str)]
    if missing:
        typer.echo(f"warning: no mask to show for {', '.join(missing)}", err=True)
    megabytes = page.stat().st_size / 1e6
    typer.echo(f"{page} ({megabytes:.1f} MB, {time.monotonic() - start:.1f} s)")
    if failed:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _find_table(place: Path) -> tuple[Path, bool]:
    """Return the instance table of a folder, made now if need be, and whether a mask failed."""
    from mudrock_cli.commands.stats import stats
    from mudrock_cli.files import is_collection, is_zarr
    from mudrock_cli.measure.tables import summary_path

    if not place.is_dir() or (is_zarr(place) and not is_collection(place)):
        return place, False
    if is_zarr(place):  # nothing but images belongs into it
        table = place.with_suffix(".parquet")
        tables = [table]
    else:
        table = place / "report.parquet"
        tables = sorted(place.glob("*.parquet"))
    tables = [path for path in tables if summary_path(path).is_file()]
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables[:4])
        raise UsageError(f"{place}: {len(tables)} tables of mudrock stats", f"give one: {names}")
    if tables:
        return tables[0], False
    try:
        stats([str(place)], out=table)
    except typer.Exit as end:
        if not table.is_file():
            raise
        return table, bool(end.exit_code)
    return table, False


def _describe_stale(place: Path, tables: "Tables") -> str:
    """Say which masks of a folder its table does not know as they are now."""
    from mudrock_cli.files import hash_file
    from mudrock_cli.image.mask import find_masks, reads_as_mask

    table = tables.path
    known = {
        (table.parent / row["mask"]).resolve(): row["mask_sha256"]
        for row in tables.images
        if row["mask"]
    }
    try:
        masks = {item.path.resolve(): item.path.name for item in find_masks([str(place)])[0]}
    except UsageError:  # it holds none
        return ""
    if not masks.keys() & known.keys():  # the table is of others
        return ""
    measured = table.stat().st_mtime

    def is_odd(path: Path) -> bool:
        if path not in known:
            return reads_as_mask(path)
        later = path.is_file() and path.stat().st_mtime > measured
        return later and known[path] not in (None, hash_file(path))

    odd = [name for path, name in masks.items() if is_odd(path)]
    if not odd:
        return ""
    more = f" and {len(odd) - 3} more" if len(odd) > 3 else ""
    return (
        f"{', '.join(odd[:3])}{more}: new or changed since {table} was measured; mudrock stats "
        f"{place} --out {table} measures again"
    )


def _list_provenance(tables: "Tables", command: list[str]) -> "list[Fact]":
    """Say how tables and page were made."""
    from mudrock_cli.report.page import Fact

    told = tables.facts.get("options")
    options = dict(told) if isinstance(told, dict) else {}
    for key in ("min_silt", "min_pore"):
        if isinstance(limit := options.pop(f"{key}_um", None), int | float):
            options[key] = f"{limit:g}um"
    given = [
        f"--{key.replace('_', '-')}" + ("" if value is True else f" {value}")
        for key, value in options.items()
        if value
    ]
    return [
        Fact("tables", tables.path.name, f"mudrock stats {tables.facts.get('version', '')}"),
        Fact("options of stats", ", ".join(given) or "none"),
        Fact("page", f"mudrock {__version__}", shlex.join(command)),
        Fact(
            "intervals",
            "95 %; of several micrographs for the rock, of one within its field",
            "never over objects, which resemble their neighbours",
        ),
    ]
