"""``mudrock stats``: phase masks to tables of grains and pores, and a summary."""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mudrock_cli.commands.options import (
    RARE,
    Masks,
    OverridePixelSize,
    PixelSizes,
    PixelSizeText,
    Scheduler,
    check_folder,
    parse_length,
    read_pixel_sizes,
)
from mudrock_cli.errors import ExitCode, MudrockError, UsageError
from mudrock_cli.image.limits import MAX_MASK_PIXELS

if TYPE_CHECKING:
    from mudrock_cli.commands.batch import Hooks
    from mudrock_cli.commands.cluster import Cluster
    from mudrock_cli.commands.console import Console
    from mudrock_cli.files import Input
    from mudrock_cli.image.mask import PhaseMask
    from mudrock_cli.image.types import Reader
    from mudrock_cli.measure.groups import Groups
    from mudrock_cli.measure.schema import Column
    from mudrock_cli.measure.summary import Field, MeasuredImage
    from mudrock_cli.measure.tables import ReportWriter

Warn = Callable[[str, str], None]
_CONFIDENCE = ".confidence.tif"


def stats(
    masks: Masks,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Instance table, .parquet, .csv or .xlsx; the summary goes beside it.",
            metavar="FILE",
        ),
    ] = Path("report.parquet"),
    pixel_size: PixelSizeText = None,
    min_silt: Annotated[
        str, typer.Option(help="Silt regions up to this diameter are clay.", metavar="LENGTH")
    ] = "2um",
    min_pore: Annotated[
        str,
        typer.Option(
            help="Pores under this diameter are in porosity alone, not in numbers and sizes.",
            metavar="LENGTH",
            rich_help_panel=RARE,
        ),
    ] = "0",
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
    split: Annotated[
        bool, typer.Option("--split", help="Divide silt grains that touch at their necks.")
    ] = False,
    override_pixel_size: OverridePixelSize = False,
    scheduler: Scheduler = None,
) -> None:
    """Measure every silt grain and pore of masks.

    Writes two tables: report.parquet with a row per grain and pore, and report.summary.parquet with
    a row per image, per group and one pooled: porosity, silt and clay fractions, grain and pore
    sizes, with their intervals. Parquet says the unit, meaning and formula of every column in its
    metadata and is what mudrock report reads; --out x.csv or x.xlsx write the same columns. Images
    of different pixel sizes are each measured in their own. Pixels painted 255 are left out.
    """
    from mudrock_cli.commands.cluster import check_paths, open_cluster
    from mudrock_cli.commands.console import Console, tabulate_summary
    from mudrock_cli.image.mask import find_masks
    from mudrock_cli.measure.groups import pool_fields
    from mudrock_cli.measure.tables import FORMATS

    start = time.monotonic()
    sizes = read_pixel_sizes(pixel_size, override=override_pixel_size)
    min_silt_um = _parse_limit(min_silt, "--min-silt")
    min_pore_um = _parse_limit(min_pore, "--min-pore")
    if out.suffix.lower() not in FORMATS or out.is_dir():
        hint = "for example report.parquet, report.csv or report.xlsx"
        raise UsageError(f"--out {out}: no name of a table", hint)
    check_folder(micrographs, "--micrographs")
    inputs, replaced = find_masks(masks)
    sizes.check(inputs)
    names = dict(zip((item.path for item in inputs), name_inputs(inputs), strict=True))
    groups = _assign_groups(group, list(names.values()))
    options = {"min_silt_um": min_silt_um, "pixel_size": pixel_size, "group": group}
    options |= {"min_pore_um": min_pore_um} if min_pore_um else {}
    options |= {"split": True} if split else {}
    settings = Settings(out, sizes, min_silt_um, min_pore_um, micrographs, groups, names, split)
    with (
        open_cluster(scheduler) as cluster,
        _open_report(out, options, groups.columns) as writer,
        Console("masks", len(inputs), json_lines=as_json) as console,
    ):
        for line in replaced:
            console.warn("a corrected mask beside it is taken", line)
        if cluster:
            check_paths(cluster, names, [micrographs] if micrographs else [])
        rows: list[Mapping[str, Any]] = []
        fields = _measure_all(inputs, settings, writer, console, rows, cluster)
        if not fields:
            console.end()
            raise typer.Exit(ExitCode.SOME_FAILED)  # an earlier report stays
        for row in pool_fields(fields, groups.words, min_silt_um, min_pore_um):
            row |= groups.values.get(row["group"], {}) if row["scope"] == "group" else {}
            writer.add_summary(row)
            _add_row(row, console, rows)
    console.close(
        tabulate_summary(rows),
        _describe(list(fields.values()), rows, out, time.monotonic() - start),
    )
    failed = len(fields) < len(inputs)
    raise typer.Exit(ExitCode.SOME_FAILED if failed else ExitCode.DONE)


def _parse_limit(text: str, option: str) -> float:
    """Read a least diameter, µm; zero, with any unit or none, is no length but a good limit."""
    nothing = text.strip().rstrip("numµμ ") in ("0", "0.0")
    return 0.0 if nothing else parse_length(text, option).um


def name_inputs(inputs: Sequence["Input"]) -> list[str]:
    """Return a name for each mask, all different: as short as that allows."""
    names = [item.relative.as_posix() for item in inputs]
    longer = [item.path.with_suffix("").as_posix() for item in inputs]
    whole = [item.path.as_posix() for item in inputs]
    for others in (longer, whole):
        count = Counter(names)
        names = [
            other if count[name] > 1 else name for name, other in zip(names, others, strict=True)
        ]
    return names


def _assign_groups(group: str | None, names: Sequence[str]) -> "Groups":
    from mudrock_cli.measure.groups import Groups, describe_groups, read_grouping

    try:
        return describe_groups(read_grouping(group), names) if group else Groups()
    except MudrockError as error:
        raise UsageError(error.message, error.hint) from error


def _open_report(out: Path, options: dict[str, Any], extra: "Sequence[Column]") -> "ReportWriter":
    from mudrock_cli.files import check_writable, remove_leftovers
    from mudrock_cli.measure.tables import ReportWriter

    check_writable(out.parent)
    remove_leftovers(out.parent)
    try:
        return ReportWriter(out, options, extra)
    except MudrockError as error:
        raise UsageError(error.message, error.hint) from error


# Masks to measures, here or on a cluster.


@dataclass(frozen=True)
class Settings:
    """How masks are measured.

    Parameters
    ----------
    out : Path
        Instance table.
    pixel_sizes : PixelSizes
        What the command line gives.
    min_silt_um : float
        Silt regions up to this ECD count as clay, µm.
    min_pore_um : float
        Pores with a smaller ECD are not counted, µm.
    micrographs : Path or None
        Folder of the micrographs.
    groups : Groups
        Group of each image.
    names : dict of Path to str
        What each mask is called in the tables.
    split : bool
        Whether touching grains of silt are divided.
    """

    out: Path
    pixel_sizes: PixelSizes
    min_silt_um: float
    min_pore_um: float
    micrographs: Path | None
    groups: "Groups"
    names: dict[Path, str]
    split: bool

    def absolute(self) -> "Settings":
        """Return the same for a worker, which runs in another folder."""
        return replace(
            self,
            out=self.out.absolute(),
            micrographs=self.micrographs and self.micrographs.absolute(),
            names={path.absolute(): name for path, name in self.names.items()},
        )

    def typed(self, item: "Input") -> list[Path]:
        """Return the paths that messages about a mask may name."""
        folder = [self.micrographs] if self.micrographs else []
        return [item.path, item.path.parent, *folder]


def _measure_all(
    inputs: Sequence["Input"],
    settings: Settings,
    writer: "ReportWriter",
    console: "Console",
    rows: list[Mapping[str, Any]],
    cluster: "Cluster | None",
) -> "dict[str, Field]":
    """Measure every mask; one that fails does not stop the others."""
    from mudrock_cli.commands.batch import run_all
    from mudrock_cli.commands.cluster import fits_a_task

    fields: dict[str, Field] = {}
    for done in run_all(
        inputs,
        partial(_measure_mask, settings),
        console,
        cluster=cluster,
        work_there=partial(_measure_there, settings.absolute()),
        is_task=lambda item: fits_a_task(item, MAX_MASK_PIXELS, masks=True),
        places=settings.typed,
    ):
        console.count()
        path, found = done.item.path, done.result
        if done.error is not None:
            console.print_error(done.error)
            if console.json_lines:
                line = {"input": str(path), "error": done.error.message, "hint": done.error.hint}
                console.print_json(line)
            continue
        assert found is not None
        name = settings.names[path]
        values = settings.groups.values.get(name, {})
        found.row.update(mask=refer(path, settings.out), **values)
        writer.add_instances(found.instances, values)
        writer.add_summary(found.row)
        _add_row(found.row, console, rows, done.seconds)
        for kind, message in found.warnings.items():
            console.warn(kind, f"{name}: {message}")
        fields[name] = found.field
    return fields


def _measure_there(settings: Settings, item: "Input", hooks: "Hooks") -> "MeasuredImage":
    """Measure a mask on a worker: rows are made there, not all where the command runs."""
    found = _measure_mask(settings, item, hooks)
    return replace(found, instances=found.instances.slice())


def _measure_mask(settings: Settings, item: "Input", hooks: "Hooks") -> "MeasuredImage":
    from mudrock_cli.files import hash_file
    from mudrock_cli.image.mask import find_pixel_size, open_mask
    from mudrock_cli.measure.summary import measure_image

    mask, name = open_mask(item.path), settings.names[item.path]
    found = _find_layers(item, mask, settings.micrographs, hooks.warn)
    size = settings.pixel_sizes.choose(item, find_pixel_size(mask), hooks.warn) or found.pixel_size
    if size is None:
        raise MudrockError(
            f"{item.path}: the pixel size is not known", "give it: --pixel-size 10nm"
        )
    image = measure_image(
        name,
        mask,
        size,
        settings.min_silt_um,
        found.layers,
        hooks.advance,
        hooks.mapper,
        settings.split,
        settings.min_pore_um,
    )
    image.row.update(
        group=settings.groups.words.get(name),
        mask_sha256=hash_file(item.path),
        micrograph=refer(found.micrograph, settings.out),
    )
    return image


@dataclass
class _Layers:
    """What lies beside a mask: grey and confidence, and what the micrograph tells."""

    layers: "dict[str, Reader]" = field(default_factory=dict)
    micrograph: Path | None = None
    pixel_size: Any = None


def _find_layers(item: "Input", mask: "PhaseMask", micrographs: Path | None, warn: Warn) -> _Layers:
    """Find the micrograph of a mask, and the confidence map beside it."""
    from mudrock_cli.files import IMAGE_SUFFIXES, is_image
    from mudrock_cli.image.micrograph import open_micrograph, open_samples

    found = _Layers()
    if micrographs is not None:
        stems = dict.fromkeys([micrographs / item.relative, micrographs / item.relative.name])
        places = (
            stem.with_name(stem.name + ending)
            for stem in stems
            for suffix in IMAGE_SUFFIXES
            for ending in (suffix, suffix.upper())
        )
        path = next((place for place in places if is_image(place)), None)
        micrograph, reason = None, f"{item.path}: no micrograph of its name in {micrographs}"
        if path:
            try:
                micrograph = open_micrograph(path, max_pixels=MAX_MASK_PIXELS)
            except MudrockError as error:
                reason = f"{error.message}: measured without it"
        if micrograph is None:
            warn("no micrograph", reason)
        elif micrograph.shape != mask.shape:
            warn("micrograph of another size", f"{path}: its size is not that of {item.path}")
        else:
            found.micrograph, found.pixel_size = path, micrograph.pixel_size
            found.layers["grey"] = micrograph.read
    place = item.path.with_name(item.path.stem + _CONFIDENCE)
    if place.is_file():
        samples = open_samples(place, MAX_MASK_PIXELS, allow_high_compression=True)
        if samples.shape == mask.shape and samples.dtype == "uint8":
            found.layers["confidence"] = lambda rows, columns: samples.read(rows, columns)[..., 0]
        else:
            message = f"{place}: not the confidence of {item.path}, left out"
            warn("another confidence map", message)
    return found


def refer(path: Path | None, report: Path) -> str | None:
    """Return a path as the report refers to it: from the report's folder, if that is possible."""
    if path is None:
        return None
    try:
        return Path(os.path.relpath(path, report.parent)).as_posix()
    except ValueError:  # another drive
        return path.absolute().as_posix()


# What is printed.

_LOGGED = ("scope", "image", "width_px", "height_px", "pixel_size_nm", "pores", "silt_grains")


def _add_row(
    row: Mapping[str, Any],
    console: "Console",
    rows: list[Mapping[str, Any]],
    seconds: float | None = None,
) -> None:
    from mudrock_cli.commands.console import to_json_line
    from mudrock_cli.commands.log import note

    rows.append(row)
    note("row", **{key: row.get(key) for key in _LOGGED}, seconds=seconds)
    if console.json_lines:
        console.print_json(to_json_line(row))


def _describe(
    fields: "Sequence[Field]", rows: Sequence[Mapping[str, Any]], out: Path, seconds: float
) -> list[str]:
    """Return the lines below the closing table."""
    from mudrock_cli.measure.tables import summary_path

    sizes = Counter(field.pixel_size for field in fields)
    shown = "; ".join(
        f"{size.nm:g} nm, {size.source} ({count})" for size, count in sizes.most_common(4)
    )
    more = f"; and {len(sizes) - 4} more" if len(sizes) > 4 else ""
    objects = sum(len(grains.ecd) for field in fields for grains in field.grains.values())
    noun = "mask" if len(fields) == 1 else "masks"
    pooled = rows[-1]
    small = f"{pooled['small_pores']} smaller ones hold {100 * pooled['small_pore_fraction']:.2g} %"
    pores = f"pores: {pooled['min_pore_um']:g} µm and larger; {small} of the area, in porosity"
    return [
        *_compare(rows),
        "low–high: 95 % interval; of one image within its field, of several for the rock",
        "D50 by area",
        f"silt: grains above {pooled['min_silt_um']:g} µm; of any size, as mudrock segment counts, "
        f"{100 * pooled['mask_silt_fraction']:.1f} %",
        *([pores] if pooled["min_pore_um"] else []),
        "clay: all that is neither pore nor silt, organic matter and pyrite too",
        f"pixel size: {shown}{more}",
        f"{objects} grains and pores of {len(fields)} {noun} in {out}, "
        f"summary in {summary_path(out).name} ({seconds:.1f} s)",
    ]


_COMPARED = {"porosity": "porosity", "silt_fraction": "silt", "clay_fraction": "clay"}
_MOST_COMPARED = 6


def _compare(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what tells two groups apart, a line per pair."""
    pairs = [row for row in rows if row["scope"] == "comparison"]
    lines = []
    for row in pairs[:_MOST_COMPARED]:
        parts = []
        for name, word in _COMPARED.items():
            value = row.get(f"{name}_difference")
            if value is not None and value == value:
                low, high = (100 * row[f"{name}_difference_{end}"] for end in ("low", "high"))
                interval = f" ({low:+.1f} to {high:+.1f})" if low == low and high == high else ""
                parts.append(f"{word} {100 * value:+.1f} points{interval}")
        alone = "; no interval from one field" if row.get("warnings") else ""
        lines.append(f"{row['other_group']} less {row['group']}: {', '.join(parts)}{alone}")
    left_out = len(pairs) - len(lines)
    return [*lines, f"and {left_out} more pairs of groups"] if left_out else lines
