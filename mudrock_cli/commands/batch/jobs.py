"""One micrograph on its way to a mask, in whichever process that happens."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mudrock_cli.commands.batch.outputs import (
    describe_run,
    finished_results,
    mask_path,
    setting_aside,
    side_path,
)
from mudrock_cli.commands.batch.progress import Outcome
from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.spread import Spread, in_turn

if TYPE_CHECKING:
    from mudrock_cli.commands.cluster.workers import Cluster
    from mudrock_cli.image.inputs import Input
    from mudrock_cli.image.micrograph import Micrograph
    from mudrock_cli.image.pixel_size import PixelSize

Tell = tuple[Callable[[int, int], None], Callable[[str, str], None]]
"""Moves the progress bar of an image, and says a warning of a kind."""


@dataclass(frozen=True)
class Job:
    """One micrograph on its way to a mask.

    Parameters
    ----------
    micrograph : Micrograph
        The input, opened.
    mask : Path
        Where its mask goes.
    provenance : dict
        What the mask tells of itself, complete but for ``results``.
    advance : callable
        ``advance(done, total)`` moves the image's progress bar.
    warn : callable
        ``warn(kind, message)`` says a line; of many of one kind only the first is said in full.
    cluster : Cluster or None
        Does the bands of a mosaic.
    """

    micrograph: "Micrograph"
    mask: Path
    provenance: dict[str, Any]
    advance: Callable[[int, int], None]
    warn: Callable[[str, str], None]
    cluster: "Cluster | None" = None

    @property
    def spread(self) -> Spread:
        """Who does the bands of the image."""
        return self.cluster.spread if self.cluster else in_turn

    def beside(self, ending: str) -> Path:
        """Return the path of a file that goes with the mask."""
        return side_path(self.mask, ending)


Process = Callable[[Job], Mapping[str, Any]]
"""Makes one mask and the files beside it, and returns its results."""


@dataclass(frozen=True)
class BatchOptions:
    """What the commands that write masks have in common.

    Parameters
    ----------
    out : Path
        Folder of the masks.
    fingerprint : Mapping
        Method, model or recipe with its hash, options; equal fingerprints give equal masks.
    sides : Mapping
        Files beside the masks that are wanted: name and ending.
    all_sides : Mapping
        All that the command can write beside a mask.
    pixel_size : PixelSize or None
        Overrides what the files tell.
    max_pixels : int
        Ceiling of pixels in one image.
    force : bool
        Make masks that are there already again.
    json_lines : bool
        Write a JSON line per input in place of the closing table.
    suffix : str
        Of the masks: ``.tif`` or ``.zarr``.
    """

    out: Path
    fingerprint: Mapping[str, Any]
    sides: Mapping[str, str]
    all_sides: Mapping[str, str]
    pixel_size: "PixelSize | None"
    max_pixels: int
    force: bool
    json_lines: bool
    suffix: str = ".tif"


def run_job(
    item: "Input",
    process: Process,
    options: BatchOptions,
    tell: Tell,
    cluster: "Cluster | None" = None,
) -> Outcome:
    """Make the mask of one input, unless it is there already; say what became of it.

    Raises
    ------
    UsageError
        If `process` finds that no input can be processed.
    """
    start = time.monotonic()
    mask = mask_path(options.out, item, options.suffix)
    try:
        status, facts = _make_mask(item, mask, process, options, tell, cluster)
    except UsageError:  # concerns the whole command, not this input
        raise
    except (MudrockError, OSError, MemoryError) as error:
        known = error if isinstance(error, MudrockError) else explain(error, item.path)
        return Outcome(item.path, "failed", error=known, seconds=time.monotonic() - start)
    return Outcome(item.path, status, mask, facts, time.monotonic() - start)


def _make_mask(
    item: "Input",
    mask: Path,
    process: Process,
    options: BatchOptions,
    tell: Tell,
    cluster: "Cluster | None",
) -> tuple[Literal["done", "skipped"], Mapping[str, Any]]:

    from mudrock_cli.image.checksum import hash_file
    from mudrock_cli.image.micrograph import open_micrograph

    micrograph = open_micrograph(
        item.path, pixel_size=options.pixel_size, max_pixels=options.max_pixels
    )
    provenance = describe_run(micrograph, hash_file(item.path), options.fingerprint)
    size = {key: provenance[key] for key in ("pixel_size_nm", "pixel_size_source")}
    if not options.force:
        results = finished_results(mask, micrograph, provenance, options.sides)
        if results is not None:
            return "skipped", size | results
    provenance["saved"] = sorted(options.sides)
    warnings: list[str] = []
    advance, say = tell

    def warn(kind: str, message: str) -> None:
        warnings.append(message)
        say(kind, message)

    with setting_aside(mask, options.all_sides.values()):
        made = process(Job(micrograph, mask, provenance, advance, warn, cluster))
    return "done", size | dict(made) | ({"warnings": warnings} if warnings else {})


def explain(error: OSError | MemoryError, path: Path) -> MudrockError:
    """Return what to say of a file that the machine has no room for, or cannot read."""
    if isinstance(error, MemoryError):
        known = MudrockError(f"{path}: not enough memory", "close other programs")
    else:
        reason = error.strerror or error
        known = MudrockError(f"{path}: {reason}", "check the disk and its permissions")
    known.__cause__ = error
    return known
