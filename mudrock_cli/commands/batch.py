"""The loop that `segment` and `groundtruth` share: inputs to masks, one after the other."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mudrock_cli.commands.outputs import (
    describe_run,
    finished_results,
    mask_path,
    prepare_outputs,
    side_path,
)
from mudrock_cli.commands.progress import Column, Narrator, Outcome
from mudrock_cli.errors import ExitCode, MudrockError, UsageError

if TYPE_CHECKING:
    from mudrock_cli.image.inputs import Input
    from mudrock_cli.image.micrograph import Micrograph
    from mudrock_cli.image.pixel_size import PixelSize


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
    """

    micrograph: "Micrograph"
    mask: Path
    provenance: dict[str, Any]
    advance: Callable[[int, int], None]
    warn: Callable[[str, str], None]

    def beside(self, ending: str) -> Path:
        """Return the path of a file that goes with the mask."""
        return side_path(self.mask, ending)


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


def run_batch(
    inputs: Sequence["Input"],
    process: Callable[[Job], Mapping[str, Any]],
    options: BatchOptions,
    columns: Sequence[Column],
) -> ExitCode:
    """Make the mask of every input that has none yet; one that fails does not stop the others.

    Parameters
    ----------
    inputs : sequence of Input
        The images.
    process : callable
        Makes one mask (and the files beside it) and returns its results, JSON-able. It writes
        them into the provenance too, where a later run finds them.
    options : BatchOptions
        Where to, and under which conditions.
    columns : sequence of Column
        Of the closing table.

    Returns
    -------
    ExitCode
        ``DONE``, or ``SOME_FAILED``.

    Raises
    ------
    UsageError
        If the masks cannot be written where they should (before any work), or `process` finds
        that no input can be processed.
    """
    from mudrock_cli.image.inputs import find_collisions

    prepare_outputs(inputs, options.out, options.suffix)
    collisions = find_collisions(inputs)
    start = time.monotonic()
    with Narrator(len(inputs), json_lines=options.json_lines, columns=columns) as narrator:
        try:
            for item in inputs:
                other = collisions.get(item.path)
                outcome = (
                    Outcome(item.path, "failed", error=_explain_collision(item.path, other))
                    if other
                    else _run_one(item, process, options, narrator)
                )
                narrator.add(outcome)
        finally:  # also after Ctrl-C: say what is finished
            narrator.close(options.out, time.monotonic() - start)
    failed = any(outcome.status == "failed" for outcome in narrator.outcomes)
    return ExitCode.SOME_FAILED if failed else ExitCode.DONE


def _run_one(
    item: "Input",
    process: Callable[[Job], Mapping[str, Any]],
    options: BatchOptions,
    narrator: Narrator,
) -> Outcome:
    start = time.monotonic()
    mask = mask_path(options.out, item, options.suffix)
    try:
        with narrator.image(item.path.name) as advance:
            status, facts = _make_mask(item, mask, process, options, narrator, advance)
    except UsageError:  # concerns the whole command, not this input
        raise
    except (MudrockError, OSError, MemoryError) as error:
        known = error if isinstance(error, MudrockError) else _explain(error, item.path)
        return Outcome(item.path, "failed", error=known, seconds=time.monotonic() - start)
    return Outcome(item.path, status, mask, facts, time.monotonic() - start)


def _make_mask(
    item: "Input",
    mask: Path,
    process: Callable[[Job], Mapping[str, Any]],
    options: BatchOptions,
    narrator: Narrator,
    advance: Callable[[int, int], None],
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
    for ending in options.all_sides.values():  # they would not belong to the new mask
        side_path(mask, ending).unlink(missing_ok=True)
    provenance["saved"] = sorted(options.sides)
    warnings: list[str] = []

    def warn(kind: str, message: str) -> None:
        warnings.append(message)
        narrator.warn(kind, message)

    made = process(Job(micrograph, mask, provenance, advance, warn))
    return "done", size | dict(made) | ({"warnings": warnings} if warnings else {})


def _explain_collision(path: Path, other: Path) -> MudrockError:
    return MudrockError(
        f"{path}: would write the same mask as {other}",
        "give the folder that holds both, or run them with different --out",
    )


def _explain(error: OSError | MemoryError, path: Path) -> MudrockError:
    if isinstance(error, MemoryError):
        return MudrockError(f"{path}: not enough memory", "close other programs")
    return MudrockError(f"{path}: {error.strerror or error}", "check the disk and its permissions")
