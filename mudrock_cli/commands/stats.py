"""What `stats` takes for one mask: its name, its pixel size, its micrograph and confidence."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mudrock_cli.commands.batch import Scheduler, explain
from mudrock_cli.commands.cluster import (
    Cluster,
    check_paths,
    fits_a_task,
    open_cluster,
    retell,
    retell_error,
)
from mudrock_cli.commands.console import StatsNarrator
from mudrock_cli.errors import ExitCode, MudrockError, UsageError
from mudrock_cli.files import check_writable, remove_leftovers
from mudrock_cli.image.limits import MAX_MASK_PIXELS

if TYPE_CHECKING:
    from mudrock_cli.files import Input
    from mudrock_cli.image.mask import PhaseMask
    from mudrock_cli.image.types import Map, PixelSize, Reader
    from mudrock_cli.measure.summary import Field, MeasuredImage
    from mudrock_cli.measure.tables import ReportWriter


Warn = Callable[[str, str], None]
_CONFIDENCE = ".confidence.tif"


@dataclass(frozen=True)
class MaskInput:
    """A mask with all that is needed to measure it.

    Parameters
    ----------
    mask : PhaseMask
        The mask.
    pixel_size : PixelSize
        Side of its pixels.
    layers : dict of str to reader
        ``grey`` and ``confidence``, as far as they are at hand.
    micrograph : Path or None
        The micrograph, where it was found.
    """

    mask: "PhaseMask"
    pixel_size: "PixelSize"
    layers: dict[str, "Reader"]
    micrograph: Path | None


def parse_lengths(pixel_size: str | None, min_silt: str) -> tuple["PixelSize | None", float]:
    """Return the pixel size, and the least size of silt in µm, that the command line gives."""
    from mudrock_cli.image.types import PixelSize

    try:
        size = PixelSize.parse(pixel_size, "--pixel-size") if pixel_size is not None else None
        # Zero, with any unit or none, is no length of a pixel but a good limit: all silt is silt.
        nothing = min_silt.strip().rstrip("numµμ ") in ("0", "0.0")
        return size, 0.0 if nothing else PixelSize.parse(min_silt, "--min-silt").um
    except MudrockError as error:
        raise UsageError(error.message, error.hint) from error


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


def open_input(
    item: "Input", pixel_size: "PixelSize | None", micrographs: Path | None, warn: Warn
) -> MaskInput:
    """Open a mask, and what goes with it.

    Raises
    ------
    MudrockError
        If the mask cannot be read, or its pixel size is not known.
    """
    from mudrock_cli.image.mask import open_mask

    mask = open_mask(item.path)
    layers: dict[str, Reader] = {}
    size, found = pixel_size or mask.pixel_size, None
    if micrographs is not None:
        found, size = _open_micrograph(item, micrographs, mask, size, layers, warn)
    _open_confidence(item.path, mask, layers, warn)
    if size is None:
        raise MudrockError(
            f"{item.path}: the pixel size is not known", "give it: --pixel-size 10nm"
        )
    return MaskInput(mask, size, layers, found)


def _open_micrograph(
    item: "Input",
    folder: Path,
    mask: "PhaseMask",
    size: "PixelSize | None",
    layers: dict[str, "Reader"],
    warn: Warn,
) -> tuple[Path | None, "PixelSize | None"]:
    """Find the micrograph of a mask; it may know the pixel size that the mask does not."""
    from mudrock_cli.files import IMAGE_SUFFIXES, is_image
    from mudrock_cli.image.micrograph import open_micrograph

    stems = dict.fromkeys([folder / item.relative, folder / item.relative.name])
    places = (
        stem.with_name(stem.name + ending)
        for stem in stems
        for suffix in IMAGE_SUFFIXES
        for ending in (suffix, suffix.upper())
    )
    path = next((place for place in places if is_image(place)), None)
    if path is None:
        warn("no micrograph", f"{item.path}: no micrograph of its name in {folder}")
        return None, size
    micrograph = open_micrograph(path)
    if micrograph.shape != mask.shape:
        warn("micrograph of another size", f"{path}: its size is not that of {item.path}")
        return None, size
    layers["grey"] = micrograph.read
    return path, size or micrograph.pixel_size


def _open_confidence(
    path: Path, mask: "PhaseMask", layers: dict[str, "Reader"], warn: Warn
) -> None:
    """Take the confidence map beside a mask, if there is one."""
    import numpy as np

    from mudrock_cli.image.limits import MAX_MASK_PIXELS
    from mudrock_cli.image.micrograph import open_samples

    place = path.with_name(path.stem + _CONFIDENCE)
    if not place.is_file():
        return
    samples = open_samples(place, MAX_MASK_PIXELS, allow_high_compression=True)
    if samples.shape != mask.shape or samples.dtype != np.uint8:
        warn("another confidence map", f"{place}: not the confidence of {path}, left out")
        return

    def read(rows: slice, columns: slice) -> Any:
        return samples.read(rows, columns)[..., 0]

    layers["confidence"] = read


def refer(path: Path | None, report: Path) -> str | None:
    """Return a path as the report refers to it: from the report's folder, if that is possible."""
    if path is None:
        return None
    try:
        return Path(os.path.relpath(path, report.parent)).as_posix()
    except ValueError:  # another drive
        return path.absolute().as_posix()


# Masks to measures, here or on a cluster.

Named = tuple["Input", str]
Found = tuple["Input", str, "MeasuredImage | MudrockError", float]


@dataclass(frozen=True)
class Settings:
    """How masks are measured.

    Parameters
    ----------
    out : Path
        Instance table.
    pixel_size : PixelSize or None
        Overrides what the masks tell.
    min_silt_um : float
        Silt regions up to this ECD count as clay, µm.
    micrographs : Path or None
        Folder of the micrographs.
    groups : dict of str to str
        Group of each image; empty without groups.
    """

    out: Path
    pixel_size: "PixelSize | None"
    min_silt_um: float
    micrographs: Path | None
    groups: dict[str, str]

    def travel(self) -> "Settings":
        """Return the same for a worker, which runs in another folder."""
        micrographs = self.micrographs and self.micrographs.absolute()
        return replace(self, out=self.out.absolute(), micrographs=micrographs)

    def list_places(self, item: "Input") -> list[Path]:
        """Return the paths, as the user typed them, that a worker may speak of."""
        places = [item.path, item.path.parent]
        return [*places, self.micrographs] if self.micrographs else places


def measure_all(
    inputs: "Sequence[Input]",
    names: Sequence[str],
    settings: Settings,
    narrator: StatsNarrator,
    cluster: Cluster | None = None,
) -> Iterator[Found]:
    """Measure every mask, in order; one that fails does not stop the others.

    Parameters
    ----------
    inputs : sequence of Input
        The masks.
    names : sequence of str
        What they are called in the tables.
    settings : Settings
        How they are measured.
    narrator : StatsNarrator
        Says progress and warnings.
    cluster : Cluster, optional
        Does small masks, and the bands of large ones.

    Yields
    ------
    tuple
        The input, its name, its measures or why it has none, and the seconds that it took.
    """

    def is_task(part: Named) -> bool:
        return cluster is not None and fits_a_task(part[0], MAX_MASK_PIXELS, masks=True)

    for as_tasks, group in groupby(zip(inputs, names, strict=True), is_task):
        if cluster and as_tasks:
            yield from _measure_on_workers(list(group), settings, narrator, cluster)
            continue
        for item, name in group:
            mapper = cluster.map if cluster else map
            with narrator.image(name) as advance:
                found, seconds = _try(item, name, settings, narrator.warn, advance, mapper)
            if isinstance(found, MudrockError) and cluster:
                found = retell_error(found, settings.list_places(item))
            yield item, name, found, seconds


def _measure_on_workers(
    masks: Sequence[Named], settings: Settings, narrator: StatsNarrator, cluster: Cluster
) -> Iterator[Found]:
    parts = ((replace(item, path=item.path.absolute()), name) for item, name in masks)
    results = cluster.attempt(partial(_measure_there, settings.travel()), parts)
    for (item, name), done in zip(masks, results, strict=True):
        if isinstance(done, MudrockError):
            yield item, name, MudrockError(f"{item.path}: {done.message}", done.hint), 0.0
            continue
        found, seconds, warnings = done
        places = settings.list_places(item)
        for kind, message in warnings:
            narrator.warn(kind, retell(message, places))
        if isinstance(found, MudrockError):
            found = retell_error(found, places)
        yield item, name, found, seconds


def _measure_there(
    settings: Settings, part: Named
) -> "tuple[MeasuredImage | MudrockError, float, list[tuple[str, str]]]":
    """Measure a mask on a worker, whose warnings are said where the command runs."""
    warnings: list[tuple[str, str]] = []

    def warn(kind: str, message: str) -> None:
        warnings.append((kind, message))

    found, seconds = _try(*part, settings, warn, lambda done, total: None, map)
    if not isinstance(found, MudrockError):  # rows are made here, not all where the command runs
        found = replace(found, instances=found.instances.slice())
    return found, seconds, warnings


def _try(
    item: "Input",
    name: str,
    settings: Settings,
    warn: Warn,
    advance: Callable[[int, int], None],
    mapper: "Map",
) -> "tuple[MeasuredImage | MudrockError, float]":
    start = time.monotonic()
    found: MeasuredImage | MudrockError
    try:
        found = _measure_mask(item, name, settings, warn, advance, mapper)
    except UsageError:  # concerns the whole command, not this mask
        raise
    except (MudrockError, OSError, MemoryError) as error:
        found = error if isinstance(error, MudrockError) else explain(error, item.path)
    return found, time.monotonic() - start


def _measure_mask(
    item: "Input",
    name: str,
    settings: Settings,
    warn: Warn,
    advance: Callable[[int, int], None],
    mapper: "Map",
) -> "MeasuredImage":
    from mudrock_cli.files import hash_file
    from mudrock_cli.measure.summary import measure_image

    source = open_input(item, settings.pixel_size, settings.micrographs, warn)
    size, min_silt_um = source.pixel_size, settings.min_silt_um
    found = measure_image(name, source.mask, size, min_silt_um, source.layers, advance, mapper)
    found.row.update(
        group=settings.groups.get(name),
        mask=refer(item.path, settings.out),
        mask_sha256=hash_file(item.path),
        micrograph=refer(source.micrograph, settings.out),
    )
    return found


# ``mudrock stats``: phase masks to tables of grains and pores, and a summary.


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
    from mudrock_cli.files import MASK_SUFFIXES, find_inputs
    from mudrock_cli.measure.groups import pool_fields

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
        fields = _measure_masks(inputs, names, settings, writer, narrator, cluster)
        if not fields:
            narrator.close([])
            raise typer.Exit(ExitCode.SOME_FAILED)  # an earlier report stays
        for row in pool_fields(fields, groups, min_silt_um):
            writer.add_summary(row)
            narrator.add(row)
    narrator.close(_tell(list(fields.values()), out, time.monotonic() - start))
    raise typer.Exit(ExitCode.SOME_FAILED if narrator.failures else ExitCode.DONE)


def _check_places(out: Path, micrographs: Path | None) -> None:
    if out.suffix.lower() != ".parquet" or out.is_dir():
        raise UsageError(f"--out {out}: no name of a Parquet file", "for example report.parquet")
    if micrographs is not None and not micrographs.is_dir():
        raise UsageError(f"--micrographs {micrographs}: no folder", "give the micrographs' folder")


def _assign_groups(group: str | None, names: Sequence[str]) -> dict[str, str]:
    """Return the group of each image, in words."""
    from mudrock_cli.measure.groups import assign_groups, read_grouping

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
    from mudrock_cli.measure.tables import ReportWriter

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
) -> "dict[str, Field]":
    """Measure every mask; one that fails does not stop the others."""
    fields: dict[str, Field] = {}
    for item, name, found, seconds in measure_all(inputs, names, settings, narrator, cluster):
        if isinstance(found, MudrockError):
            narrator.fail(str(item.path), found)
            continue
        writer.add_instances(found.instances)
        writer.add_summary(found.row)
        narrator.add(found.row, seconds)
        for kind, message in found.warnings.items():
            narrator.warn(kind, f"{name}: {message}")
        fields[name] = found.field
    return fields


def _tell(fields: "Sequence[Field]", out: Path, seconds: float) -> list[str]:
    """Return the lines below the closing table."""
    from mudrock_cli.measure.tables import summary_path

    sizes = Counter(field.pixel_size for field in fields)
    shown = "; ".join(
        f"{size.nm:g} nm, {size.source} ({count})" for size, count in sizes.most_common(4)
    )
    more = f"; and {len(sizes) - 4} more" if len(sizes) > 4 else ""
    objects = sum(len(grains.ecd) for field in fields for grains in field.grains.values())
    noun = "mask" if len(fields) == 1 else "masks"
    return [
        "± half of the 95 % interval; D50 by area",
        f"pixel size: {shown}{more}",
        f"{objects} grains and pores of {len(fields)} {noun} in {out}, "
        f"summary in {summary_path(out).name} ({seconds:.1f} s)",
    ]
