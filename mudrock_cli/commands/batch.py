"""Options that several commands read alike."""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mudrock_cli.commands.cluster import Cluster, check_paths, fits_a_task, retell, retell_error
from mudrock_cli.commands.console import Column, Narrator, Outcome
from mudrock_cli.commands.log import note
from mudrock_cli.errors import ExitCode, MudrockError, UsageError
from mudrock_cli.files import check_writable, part_path, remove_leftovers

if TYPE_CHECKING:
    from mudrock_cli.files import Input
    from mudrock_cli.image.micrograph import Micrograph
    from mudrock_cli.image.types import Map, PixelSize


Scheduler = Annotated[
    str | None,
    typer.Option(help="Let the workers of this Dask scheduler do it.", metavar="tcp://HOST:PORT"),
]
"""``--scheduler``."""


def parse_save(text: str, sides: Mapping[str, str]) -> dict[str, str]:
    """Read ``--save``: names of `sides`, separated by commas; returns the chosen ones."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in sides]
    if unknown:
        raise UsageError(f"--save {text}: cannot save {unknown[0]}", f"known: {','.join(sides)}")
    return {name: sides[name] for name in names}


def parse_pixel_size(text: str | None) -> "PixelSize | None":
    """Read ``--pixel-size``; a length that cannot be read is wrong usage."""
    from mudrock_cli.image.types import PixelSize

    if text is None:
        return None
    try:
        return PixelSize.parse(text, "--pixel-size")
    except MudrockError as error:
        raise UsageError(error.message, error.hint) from error


# Where a batch writes: paths checked before work, leftovers removed, finished masks found.

_BAND_PIXELS = 1 << 24


class _ForeignMaskError(MudrockError):
    """A mask that an editor saved, without the provenance that `segment` writes."""


@dataclass(frozen=True)
class Places:
    """Where masks go, and as what.

    Parameters
    ----------
    folder : Path
        Their folder.
    inputs : sequence of Input
        What they are made of; `relative` tells their names.
    suffix : str
        ``.tif`` or ``.zarr``.
    """

    folder: Path
    inputs: "Sequence[Input]"
    suffix: str = ".tif"


def choose_places(out: Path, inputs: Sequence["Input"]) -> Places:
    """Find out what ``--out`` asks for: a folder of TIFF masks, or OME-Zarr.

    ``--out x.zarr`` is itself the OME-Zarr of a single input; of several inputs it becomes a Zarr
    group that holds a ``NAME.zarr`` for each.

    Raises
    ------
    UsageError
        If there are several inputs and the OME-Zarr of one, or it cannot be written.
    """
    from mudrock_cli.files import SUFFIX, is_collection, is_mudrock_mask, start_collection

    if out.suffix.lower() != SUFFIX:
        return Places(out, inputs)
    if len(inputs) == 1 and not is_collection(out):
        alone = replace(inputs[0], relative=Path(out.stem))
        return Places(out.parent, [alone], SUFFIX)
    if out.is_dir() and is_mudrock_mask(out):
        raise UsageError(f"{out}: holds one image, not {len(inputs)}", "choose another --out")
    check_writable(out)
    start_collection(out)
    return Places(out, inputs, SUFFIX)


def mask_path(out: Path, item: "Input", suffix: str = ".tif") -> Path:
    """Return where the mask of an input goes."""
    return out / item.relative.parent / f"{item.relative.name}{suffix}"


def side_path(mask: Path, ending: str) -> Path:
    """Return the path of a file that goes with a mask, ``NAME`` + `ending`."""
    return mask.with_name(mask.stem + ending)


@contextmanager
def setting_aside(mask: Path, endings: Iterable[str]) -> Iterator[None]:
    """Put away the files beside a mask while it is made again: they belong to the earlier one.

    Where no new mask came of it, they return to the one that stays.
    """
    before = _identify(mask)
    away: dict[Path, Path] = {}
    for place in (side_path(mask, ending) for ending in endings):
        with suppress(FileNotFoundError):
            away[place] = place.replace(part_path(place.with_name(f"{place.name}.old")))
    try:
        yield
    finally:
        for place, part in away.items():
            if _identify(mask) == before:
                part.replace(place)
            else:
                part.unlink(missing_ok=True)


def _identify(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file is replaced."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_mtime_ns


def prepare_outputs(inputs: Sequence["Input"], out: Path, suffix: str = ".tif") -> None:
    """Check that masks can be written and replace no input, before any work.

    Raises
    ------
    UsageError
        If a mask would replace an input, or `out` is not a folder that can be written.
    """
    sources = {os.path.realpath(item.path): item.path for item in inputs}
    for item in inputs:
        replaced = sources.get(os.path.realpath(mask_path(out, item, suffix)))
        if replaced is not None:
            raise UsageError(f"{replaced}: would be replaced by a mask", "choose another --out")
    prepare_folders(out, inputs)


def prepare_folders(out: Path, inputs: Sequence["Input"]) -> None:
    """Check that files can be written, and remove what killed runs left where they will be.

    Raises
    ------
    UsageError
        If `out` is not a folder that can be written.
    """
    check_writable(out)
    for folder in {(out / item.relative).parent for item in inputs}:
        remove_leftovers(folder)


def describe_run(
    micrograph: "Micrograph", sha256: str, fingerprint: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the provenance of a mask, complete but for its results.

    Parameters
    ----------
    micrograph : Micrograph
        The input, opened.
    sha256 : str
        Hash of its file.
    fingerprint : Mapping
        Method, model or recipe with its hash, options: equal fingerprints give equal masks.
    """
    from mudrock_cli import __version__

    size = micrograph.pixel_size
    return {
        "software": "mudrock",
        "version": __version__,
        "input": {"name": micrograph.name, "sha256": sha256},
        "pixel_size_nm": size.nm if size else None,
        "pixel_size_source": size.source if size else None,
        **fingerprint,
    }


def finished_results(
    mask: Path, micrograph: "Micrograph", provenance: Mapping[str, Any], sides: Mapping[str, str]
) -> dict[str, Any] | None:
    """Return the results in a mask that an earlier run finished, or None if it must be made.

    Parameters
    ----------
    mask : Path
        Where the mask would be.
    micrograph : Micrograph
        The input.
    provenance : Mapping
        What the mask's provenance would say, see `describe_run`.
    sides : Mapping
        The files wanted beside the mask: name and ending.

    Raises
    ------
    MudrockError
        If the mask there is somebody's work: another program's, or corrected by hand.
    """
    from mudrock_cli.image.mask import open_mask
    from mudrock_cli.image.ome_zarr_writer import is_untouched

    if not mask.exists():
        return None
    edited = f"{mask}: was not written by mudrock, or was edited by hand since"
    hint = "--force to replace it, or another --out"
    try:
        found = open_mask(mask)
        if found.provenance.get("software") != provenance["software"]:
            raise _ForeignMaskError(edited, hint)
        if found.shape != micrograph.shape:
            return None
        rows = max(1, _BAND_PIXELS // max(1, found.shape[1]))
        for top in range(0, found.shape[0], rows):  # a damaged or edited file raises here
            found.read(slice(top, min(top + rows, found.shape[0])), slice(None))
        if mask.is_dir() and not is_untouched(mask):
            raise _ForeignMaskError(edited, hint)
    except _ForeignMaskError:
        raise
    except MudrockError:
        return None
    told = found.provenance
    wanted = json.loads(json.dumps(dict(provenance)))
    ignored = ("version", "saved")
    if any(told.get(key) != value for key, value in wanted.items() if key not in ignored):
        return None
    saved = told.get("saved", [])
    if not all(name in saved and side_path(mask, end).is_file() for name, end in sides.items()):
        return None
    results = told.get("results")
    return results if isinstance(results, dict) else None


# One micrograph on its way to a mask, in whichever process that happens.

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
    def mapper(self) -> "Map":
        """Who does the bands of the image."""
        return self.cluster.map if self.cluster else map

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

    from mudrock_cli.files import hash_file
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


# The loop that `segment` and `groundtruth` share: inputs to masks, here or on a cluster.


def run_batch(
    inputs: Sequence["Input"],
    process: Process,
    options: BatchOptions,
    columns: Sequence[Column],
    cluster: Cluster | None = None,
    needed: Sequence[Path] = (),
) -> ExitCode:
    """Make the mask of every input that has none yet; one that fails does not stop the others.

    Parameters
    ----------
    inputs : sequence of Input
        The images.
    process : callable
        Makes one mask (and the files beside it) and returns its results, JSON-able. It writes
        them into the provenance too, where a later run finds them. A `functools.partial` of a
        function of a module: it travels to workers.
    options : BatchOptions
        Where to, and under which conditions.
    columns : sequence of Column
        Of the closing table.
    cluster : Cluster, optional
        Does small images, and the bands of large ones.
    needed : sequence of Path
        Folders that workers read beside the inputs.

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
    prepare_outputs(inputs, options.out, options.suffix)
    if cluster:
        check_paths(cluster, [item.path for item in inputs], needed, options.out)
    start = time.monotonic()
    note("batch", images=len(inputs), out=options.out, **options.fingerprint)
    with Narrator(len(inputs), json_lines=options.json_lines, columns=columns) as narrator:
        try:
            for outcome in _run_all(inputs, process, options, narrator, cluster):
                narrator.add(outcome)
        finally:  # also after Ctrl-C: say what is finished
            order = {item.path: number for number, item in enumerate(inputs)}
            narrator.outcomes.sort(key=lambda outcome: order[outcome.input])
            narrator.close(options.out, time.monotonic() - start)
    failed = any(outcome.status == "failed" for outcome in narrator.outcomes)
    return ExitCode.SOME_FAILED if failed else ExitCode.DONE


def _run_all(
    inputs: Sequence["Input"],
    process: Process,
    options: BatchOptions,
    narrator: Narrator,
    cluster: Cluster | None,
) -> Iterator[Outcome]:
    """Yield what becomes of each input: on workers as they are done, here one after the other."""
    from mudrock_cli.files import find_collisions

    collisions = find_collisions(inputs)

    def is_task(item: "Input") -> bool:
        alone = cluster is None or item.path in collisions
        return not alone and fits_a_task(item, options.max_pixels)

    for as_tasks, items in groupby(inputs, is_task):
        if cluster and as_tasks:
            yield from _run_on_workers(items, process, options, narrator, cluster)
            continue
        for item in items:
            if other := collisions.get(item.path):
                yield Outcome(item.path, "failed", error=_explain_collision(item.path, other))
                continue
            with narrator.image(item.path.name) as advance:
                outcome = run_job(item, process, options, (advance, narrator.warn), cluster)
            yield _retell_outcome(outcome, _list_places(item, options)) if cluster else outcome


def _run_on_workers(
    inputs: Iterable["Input"],
    process: Process,
    options: BatchOptions,
    narrator: Narrator,
    cluster: Cluster,
) -> Iterator[Outcome]:
    # Workers run in other folders.
    there = replace(options, out=options.out.absolute())
    known: dict[Path, Input] = {}

    def travel() -> "Iterator[Input]":
        for item in inputs:
            known[item.path.absolute()] = item
            yield replace(item, path=item.path.absolute())

    for part, done in cluster.as_completed(partial(_run_there, process, there), travel()):
        item = known.pop(part.path)
        places = _list_places(item, options)
        if isinstance(done, MudrockError):
            error = MudrockError(f"{item.path}: {done.message}", done.hint)
            yield Outcome(item.path, "failed", error=error)
            continue
        outcome, warnings = done
        for kind, message in warnings:
            narrator.warn(kind, retell(message, places))
        mask = outcome.mask and mask_path(options.out, item, options.suffix)
        yield _retell_outcome(replace(outcome, input=item.path, mask=mask), places)


def _run_there(
    process: Process, options: BatchOptions, item: "Input"
) -> tuple[Outcome, list[tuple[str, str]]]:
    """Make a mask on a worker, whose warnings are said where the command runs."""
    warnings: list[tuple[str, str]] = []

    def advance(done: int, total: int) -> None:
        pass  # the bar of the batch moves where the command runs

    def warn(kind: str, message: str) -> None:
        warnings.append((kind, message))

    return run_job(item, process, options, (advance, warn)), warnings


def _list_places(item: "Input", options: BatchOptions) -> list[Path]:
    """Return the paths, as the user typed them, that a worker may speak of."""
    mask = mask_path(options.out, item, options.suffix)
    return [item.path, item.path.parent, mask, mask.parent]


def _retell_outcome(outcome: Outcome, places: Sequence[Path]) -> Outcome:
    facts = dict(outcome.facts)
    if "warnings" in facts:
        facts["warnings"] = [retell(text, places) for text in facts["warnings"]]
    error = outcome.error and retell_error(outcome.error, places)
    return replace(outcome, facts=facts, error=error)


def _explain_collision(path: Path, other: Path) -> MudrockError:
    return MudrockError(
        f"{path}: would write the same mask as {other}",
        "give the folder that holds both, or run them with different --out",
    )
