"""Masks to measures, here or on a cluster."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from mudrock_cli.commands.batch.jobs import explain
from mudrock_cli.commands.cluster.retelling import retell, retell_error
from mudrock_cli.commands.cluster.workers import Cluster, fits_a_task
from mudrock_cli.commands.measuring.inputs import open_input, refer
from mudrock_cli.commands.measuring.narrator import StatsNarrator
from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.image.limits import MAX_MASK_PIXELS
from mudrock_cli.spread import Spread, in_turn

if TYPE_CHECKING:
    from mudrock_cli.image.inputs import Input
    from mudrock_cli.image.pixel_size import PixelSize
    from mudrock_cli.measure.summaries.image_report import MeasuredImage

Named = tuple["Input", str]
Found = tuple["Input", str, "MeasuredImage | MudrockError", float]
Warn = Callable[[str, str], None]


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
            spread = cluster.spread if cluster else in_turn
            with narrator.image(name) as advance:
                found, seconds = _try(item, name, settings, narrator.warn, advance, spread)
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

    found, seconds = _try(*part, settings, warn, lambda done, total: None, in_turn)
    if not isinstance(found, MudrockError):  # rows are made here, not all where the command runs
        found = replace(found, instances=found.instances.slice())
    return found, seconds, warnings


def _try(
    item: "Input",
    name: str,
    settings: Settings,
    warn: Warn,
    advance: Callable[[int, int], None],
    spread: Spread,
) -> "tuple[MeasuredImage | MudrockError, float]":
    start = time.monotonic()
    found: MeasuredImage | MudrockError
    try:
        found = _measure_mask(item, name, settings, warn, advance, spread)
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
    spread: Spread,
) -> "MeasuredImage":
    from mudrock_cli.image.checksum import hash_file
    from mudrock_cli.measure.summaries.image_report import measure_image

    source = open_input(item, settings.pixel_size, settings.micrographs, warn)
    size, min_silt_um = source.pixel_size, settings.min_silt_um
    found = measure_image(name, source.mask, size, min_silt_um, source.layers, advance, spread)
    found.row.update(
        group=settings.groups.get(name),
        mask=refer(item.path, settings.out),
        mask_sha256=hash_file(item.path),
        micrograph=refer(source.micrograph, settings.out),
    )
    return found
