"""``mudrock stats``: phase masks to tables of grains and pores, and a summary."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mudrock_cli.commands.batch.options import Scheduler
from mudrock_cli.commands.cluster.scheduler import open_cluster
from mudrock_cli.commands.cluster.visibility import check_paths
from mudrock_cli.commands.cluster.workers import Cluster
from mudrock_cli.commands.measuring.inputs import name_inputs, parse_lengths
from mudrock_cli.commands.measuring.narrator import StatsNarrator
from mudrock_cli.commands.measuring.tasks import Settings, measure_all
from mudrock_cli.errors import ExitCode, MudrockError, UsageError
from mudrock_cli.image.claims import remove_leftovers
from mudrock_cli.image.placement import check_writable

if TYPE_CHECKING:
    from mudrock_cli.image.inputs import Input
    from mudrock_cli.measure.summaries.pooling import Measured
    from mudrock_cli.measure.tables.tables import ReportWriter


def stats(
    masks: Annotated[
        list[str],
        typer.Argument(metavar="MASK", help="Masks, folders (with subfolders) or globs."),
    ],
    out: Annotated[
        Path, typer.Option(help="Instance table; the summary goes beside it.", metavar="FILE")
    ] = Path("report.parquet"),
    pixel_size: Annotated[
        str | None, typer.Option(help="Overrides the masks: 10nm, 0.01um.", metavar="LENGTH")
    ] = None,
    min_silt: Annotated[
        str, typer.Option(help="Silt regions up to this diameter are clay.", metavar="LENGTH")
    ] = "2um",
    micrographs: Annotated[
        Path | None,
        typer.Option(help="Folder of the micrographs, for mean greys.", metavar="FOLDER"),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            help="Pool images: a CSV file (name, sample, ...) or a pattern with named groups.",
            metavar="CSV|PATTERN",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON line per row of the summary on stdout.")
    ] = False,
    scheduler: Scheduler = None,
) -> None:
    """Measure every silt grain and pore of masks.

    Writes two Parquet tables: report.parquet with a row per grain and pore, and
    report.summary.parquet with a row per image, per group and one pooled: porosity, silt and clay
    fractions, grain and pore sizes, with their intervals. Every column says its unit, meaning and
    formula in its metadata. Images of different pixel sizes are each measured in their own.
    """
    from mudrock_cli.image.inputs import MASK_SUFFIXES, find_inputs
    from mudrock_cli.measure.summaries.pooling import pool_images

    start = time.monotonic()
    size, min_silt_um = parse_lengths(pixel_size, min_silt)
    _check_places(out, micrographs)
    inputs = find_inputs(masks, suffixes=MASK_SUFFIXES, keep_masks=True)
    names = name_inputs(inputs)
    groups = _assign_groups(group, names)
    options = {"min_silt_um": min_silt_um, "pixel_size": pixel_size, "group": group}
    settings = Settings(out, size, min_silt_um, micrographs, groups)
    with (
        open_cluster(scheduler) as cluster,
        _open_report(out, options) as writer,
        StatsNarrator(len(inputs), json_lines=as_json) as narrator,
    ):
        if cluster:
            folders = [micrographs] if micrographs else []
            check_paths(cluster, [item.path for item in inputs], folders)
        measured = _measure_masks(inputs, names, settings, writer, narrator, cluster)
        if not measured:
            narrator.close([])
            raise typer.Exit(ExitCode.SOME_FAILED)  # an earlier report stays
        for row in pool_images(measured, groups, min_silt_um):
            writer.add_summary(row)
            narrator.add(row)
    narrator.close(_tell(measured, out, time.monotonic() - start))
    raise typer.Exit(ExitCode.SOME_FAILED if narrator.failures else ExitCode.DONE)


def _check_places(out: Path, micrographs: Path | None) -> None:
    if out.suffix.lower() != ".parquet" or out.is_dir():
        raise UsageError(f"--out {out}: no name of a Parquet file", "for example report.parquet")
    if micrographs is not None and not micrographs.is_dir():
        raise UsageError(f"--micrographs {micrographs}: no folder", "give the micrographs' folder")


def _assign_groups(group: str | None, names: Sequence[str]) -> dict[str, str]:
    """Return the group of each image, in words."""
    from mudrock_cli.measure.summaries.groups import assign_groups, read_grouping

    if group is None:
        return {}
    try:
        grouping = read_grouping(group)
        keys = assign_groups(grouping, names)
    except MudrockError as error:
        raise UsageError(error.message, error.hint) from error
    words = [
        ", ".join(f"{column} {value}" for column, value in zip(grouping.columns, key, strict=True))
        for key in keys
    ]
    return dict(zip(names, words, strict=True))


def _open_report(out: Path, options: dict[str, Any]) -> "ReportWriter":
    from mudrock_cli.measure.tables.tables import ReportWriter

    check_writable(out.parent)
    remove_leftovers(out.parent)
    try:
        return ReportWriter(out, options)
    except MudrockError as error:
        raise UsageError(error.message, error.hint) from error


def _measure_masks(
    inputs: Sequence["Input"],
    names: Sequence[str],
    settings: Settings,
    writer: "ReportWriter",
    narrator: StatsNarrator,
    cluster: Cluster | None,
) -> "dict[str, Measured]":
    """Measure every mask; one that fails does not stop the others."""
    from mudrock_cli.measure.summaries.pooling import Measured

    measured: dict[str, Measured] = {}
    for item, name, found, seconds in measure_all(inputs, names, settings, narrator, cluster):
        if isinstance(found, MudrockError):
            narrator.fail(str(item.path), found)
            continue
        writer.add_instances(found.instances)
        writer.add_summary(found.row)
        narrator.add(found.row, seconds)
        for kind, message in found.warnings.items():
            narrator.warn(kind, f"{name}: {message}")
        measured[name] = Measured(found.sample, found.figures)
    return measured


def _tell(measured: "Mapping[str, Measured]", out: Path, seconds: float) -> list[str]:
    """Return the lines below the closing table."""
    from mudrock_cli.measure.tables.tables import summary_path

    sizes = Counter(image.sample.pixel_size for image in measured.values())
    shown = "; ".join(
        f"{size.nm:g} nm, {size.source} ({count})" for size, count in sizes.most_common(4)
    )
    more = f"; and {len(sizes) - 4} more" if len(sizes) > 4 else ""
    objects = sum(
        image.figures["pores"] + image.figures["silt_grains"] for image in measured.values()
    )
    noun = "mask" if len(measured) == 1 else "masks"
    return [
        "± half of the 95 % interval; D50 by area",
        f"pixel size: {shown}{more}",
        f"{objects} grains and pores of {len(measured)} {noun} in {out}, "
        f"summary in {summary_path(out).name} ({seconds:.1f} s)",
    ]
