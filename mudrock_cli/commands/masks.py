"""Micrographs to masks: what `segment` and `groundtruth` share.

A mask that is finished is kept, so that a run that was stopped goes on where it stopped; one that
somebody else made or corrected is never replaced unasked.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mudrock_cli.commands.batch import Done, Hooks, prepare_folders, run_all
from mudrock_cli.commands.cluster import Cluster, check_paths, fits_a_task
from mudrock_cli.commands.console import (
    RIMS_NM,
    Column,
    Console,
    Outcome,
    describe_masks,
    tabulate_masks,
)
from mudrock_cli.commands.log import note
from mudrock_cli.commands.options import PixelSizes, check_folder
from mudrock_cli.errors import ExitCode, MudrockError, UsageError
from mudrock_cli.files import check_writable, part_path

if TYPE_CHECKING:
    from mudrock_cli.files import Input
    from mudrock_cli.image.micrograph import Micrograph
    from mudrock_cli.image.types import Box

_BAND_PIXELS = 1 << 24


# Where masks go.


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

    def mask(self, item: "Input") -> Path:
        """Return where the mask of an input goes."""
        return self.folder / item.relative.parent / f"{item.relative.name}{self.suffix}"

    def typed(self, item: "Input") -> list[Path]:
        """Return the paths that messages about an input may name."""
        mask = self.mask(item)
        return [item.path, item.path.parent, mask, mask.parent]

    def prepare(self) -> None:
        """Check that masks can be written and replace no input, before any work.

        Raises
        ------
        UsageError
            If a mask would replace an input, or the folder cannot be written.
        """
        sources = {os.path.realpath(item.path): item.path for item in self.inputs}
        for item in self.inputs:
            replaced = sources.get(os.path.realpath(self.mask(item)))
            if replaced is not None:
                raise UsageError(f"{replaced}: would be replaced by a mask", "choose another --out")
        prepare_folders(self.folder, self.inputs)


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


def side_path(mask: Path, ending: str) -> Path:
    """Return the path of a file that goes with a mask, ``NAME`` + `ending`."""
    return mask.with_name(mask.stem + ending)


# Micrographs to masks.


@dataclass(frozen=True, kw_only=True)
class Job(Hooks):
    """One micrograph on its way to a mask.

    Parameters
    ----------
    micrograph : Micrograph
        The input, opened.
    mask : Path
        Where its mask goes.
    provenance : dict
        What the mask tells of itself, complete but for ``results``.
    """

    micrograph: "Micrograph"
    mask: Path
    provenance: dict[str, Any]

    def beside(self, ending: str) -> Path:
        """Return the path of a file that goes with the mask."""
        return side_path(self.mask, ending)


Made = tuple[Literal["done", "skipped"], Mapping[str, Any]]
"""What became of a mask, and its figures."""

Process = Callable[[Job], Mapping[str, Any]]
"""Makes one mask and the files beside it, and returns its results."""


@dataclass(frozen=True)
class MaskOptions:
    """What the commands that write masks have in common.

    Parameters
    ----------
    places : Places
        Inputs, and where their masks go.
    fingerprint : Mapping
        Method, model or recipe with its hash, options; equal fingerprints give equal masks.
    sides : Mapping
        Files beside the masks that are wanted: name and ending.
    all_sides : Mapping
        All that the command can write beside a mask.
    pixel_sizes : PixelSizes
        What the command line gives.
    max_pixels : int
        Ceiling of pixels in one image.
    force : bool
        Make masks that are there already again.
    json_lines : bool
        Write a JSON line per input in place of the closing table.
    crop : Box or None
        All that is specimen.
    exclude : Path or None
        Folder of images in which is painted what is left out.
    rims_nm : tuple of float
        How far inside their visible outlines pores and silt are drawn.
    """

    places: Places
    fingerprint: Mapping[str, Any]
    sides: Mapping[str, str]
    all_sides: Mapping[str, str]
    pixel_sizes: PixelSizes
    max_pixels: int
    force: bool
    json_lines: bool
    crop: "Box | None" = None
    exclude: Path | None = None
    rims_nm: tuple[float, float] = RIMS_NM

    def absolute(self) -> "MaskOptions":
        """Return the same for a worker, which runs in another folder."""
        places = replace(self.places, folder=self.places.folder.absolute(), inputs=())
        return replace(self, places=places, exclude=self.exclude and self.exclude.absolute())


def make_masks(
    process: Process,
    options: MaskOptions,
    columns: Sequence[Column],
    cluster: Cluster | None = None,
    needed: Sequence[Path] = (),
) -> ExitCode:
    """Make the mask of every input that has none yet; one that fails does not stop the others.

    Parameters
    ----------
    process : callable
        Makes one mask (and the files beside it) and returns its results, JSON-able. It writes
        them into the provenance too, where a later run finds them. A `functools.partial` of a
        function of a module: it travels to workers.
    options : MaskOptions
        Which inputs, where to, and under which conditions.
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
    from mudrock_cli.files import find_collisions

    places, start = options.places, time.monotonic()
    check_exclusions(options.exclude, places.inputs)
    options.pixel_sizes.check(places.inputs)
    places.prepare()
    if cluster:
        folders = [*needed, *([options.exclude] if options.exclude else [])]
        check_paths(cluster, [item.path for item in places.inputs], folders, places.folder)
    note("batch", images=len(places.inputs), out=places.folder, **options.fingerprint)
    collisions = find_collisions(places.inputs)
    outcomes: list[Outcome] = []
    with Console("images", len(places.inputs), json_lines=options.json_lines) as console:
        found = run_all(
            places.inputs,
            partial(_make_mask, process, options, collisions),
            console,
            cluster=cluster,
            work_there=partial(_make_mask, process, options.absolute(), {}),
            is_task=lambda item: (
                item.path not in collisions and fits_a_task(item, options.max_pixels)
            ),
            places=places.typed,
        )
        try:
            for done in found:
                outcomes.append(_conclude(done, places))
                _print_outcome(console, outcomes[-1])
        finally:  # also after Ctrl-C: what is finished
            table = tabulate_masks(outcomes, columns)
            seconds = time.monotonic() - start
            lines = describe_masks(outcomes, places.folder, seconds, options.rims_nm)
            console.close(table, lines[-1:] if options.json_lines else lines)
    failed = any(outcome.status == "failed" for outcome in outcomes)
    return ExitCode.SOME_FAILED if failed else ExitCode.DONE


def _conclude(
    done: Done[tuple[Literal["done", "skipped"], Mapping[str, Any]]], places: Places
) -> Outcome:
    path, seconds = done.item.path, done.seconds
    if done.result is None:
        return Outcome(path, "failed", error=done.error, seconds=seconds)
    status, facts = done.result
    warnings = [message for _, message in done.warnings]
    facts = {**facts, "warnings": warnings} if warnings else facts
    return Outcome(path, status, places.mask(done.item), facts, seconds)


def _print_outcome(console: Console, outcome: Outcome) -> None:
    console.count(at_once=outcome.status == "skipped")
    line = outcome.to_json()
    note("image", **line | {"input": outcome.input, "mask": outcome.mask})
    if outcome.error is not None:
        console.print_error(outcome.error)
    if console.json_lines:
        console.print_json(line)


def _make_mask(
    process: Process,
    options: MaskOptions,
    collisions: Mapping[Path, Path],
    item: "Input",
    hooks: Hooks,
) -> Made:
    """Make the mask of one input, unless it is there already."""
    from mudrock_cli.files import hash_file
    from mudrock_cli.image.micrograph import open_micrograph

    if other := collisions.get(item.path):
        raise MudrockError(
            f"{item.path}: would write the same mask as {other}",
            "give the folder that holds both, or run them with different --out",
        )
    mask = options.places.mask(item)
    micrograph = open_micrograph(item.path, max_pixels=options.max_pixels)
    for line in micrograph.warnings:
        hooks.warn(line, f"{item.path}: {line}")
    chosen = options.pixel_sizes.choose(item, micrograph.pixel_size, hooks.warn)
    micrograph = replace(micrograph, pixel_size=chosen)
    micrograph, left_out = leave_out(micrograph, item, options.crop, options.exclude)
    fingerprint = {**options.fingerprint, "options": {**options.fingerprint["options"], **left_out}}
    provenance = describe_run(micrograph, hash_file(item.path), fingerprint)
    size = {key: provenance[key] for key in ("pixel_size_nm", "pixel_size_source")}
    job = Job(
        micrograph=micrograph,
        mask=mask,
        provenance=provenance,
        advance=hooks.advance,
        warn=hooks.warn,
        cluster=hooks.cluster,
    )
    if not options.force:
        finished = find_finished(job, options.sides)
        if finished is not None:
            drawn = [n for n, end in options.sides.items() if not _is_current(mask, end)]
            save_drawings(job, {name: options.sides[name] for name in drawn})
            return "skipped", size | finished
    provenance["saved"] = sorted(options.sides)
    with _set_aside(mask, options.all_sides.values()):
        return "done", size | dict(process(job))


def leave_out(
    micrograph: "Micrograph", item: "Input", crop: "Box | None", exclude: Path | None
) -> "tuple[Micrograph, dict[str, str]]":
    """Leave out what ``--crop`` and ``--exclude`` say, and return it for the provenance."""
    from mudrock_cli.files import hash_file

    left_out = {}
    if crop:
        micrograph = micrograph.cropped(crop)
        left_out["crop"] = f"{crop.left},{crop.top},{crop.width},{crop.height}"
    painted = _find_exclusion(exclude, item)
    if painted:
        micrograph = micrograph.excluding(painted)
        left_out["exclude"] = hash_file(painted)
    return micrograph, left_out


def _find_exclusion(exclude: Path | None, item: "Input") -> Path | None:
    from mudrock_cli.files import find_partner

    return find_partner(exclude, item.relative.as_posix()) if exclude else None


def check_exclusions(exclude: Path | None, inputs: "Sequence[Input]") -> None:
    """Make sure that ``--exclude`` leaves out something of some input."""
    check_folder(exclude, "--exclude")
    if exclude and not any(_find_exclusion(exclude, item) for item in inputs):
        raise UsageError(
            f"--exclude {exclude}: no image of the name of an input, such as "
            f"{inputs[0].relative.name}.png",
            "paint black what stays and white what is left out, in images of the inputs' names",
        )


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


# Files beside a mask that can be drawn from it, without segmenting again.


def _draw_overlay(job: Job, place: Path) -> None:
    from mudrock_cli.image.mask import open_mask
    from mudrock_cli.report.overlay import draw_overlay_by_bands, save_overlay

    shown, mask = job.micrograph, open_mask(job.mask)
    picture = draw_overlay_by_bands(shown.shape, shown.read, mask.read, shown.pixel_size)
    save_overlay(place, picture)


def _paint_instances(job: Job, place: Path) -> None:
    from mudrock_cli.image.mask import open_mask
    from mudrock_cli.image.tiff import write_plane
    from mudrock_cli.measure.components import label_mask

    mask = open_mask(job.mask)
    found = label_mask(mask)
    write_plane(place, mask.shape, found.label_type, found.paint(mask), job.micrograph.pixel_size)


_DRAWN: Mapping[str, Callable[[Job, Path], None]] = {
    "overlay": _draw_overlay,
    "instances": _paint_instances,
}


def save_drawings(job: Job, sides: Mapping[str, str]) -> None:
    """Write those of the files beside a finished mask that are drawn from it alone."""
    for name, ending in sides.items():
        if name in _DRAWN:
            _DRAWN[name](job, job.beside(ending))


def _is_current(mask: Path, ending: str) -> bool:
    """Tell whether a file beside a mask is there, and not of an earlier mask."""
    with suppress(FileNotFoundError):
        return side_path(mask, ending).stat().st_mtime_ns >= mask.stat().st_mtime_ns
    return False


class _ForeignMaskError(MudrockError):
    """A mask that an editor saved, without the provenance that `segment` writes."""


def find_finished(job: Job, sides: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the results in a mask that an earlier run finished, or None if it must be made.

    Parameters
    ----------
    job : Job
        Where the mask would be, and what its provenance would tell.
    sides : Mapping
        The files wanted beside the mask: name and ending. Those that can be drawn from it need
        not be there.

    Raises
    ------
    MudrockError
        If the mask there is somebody's work: another program's, or corrected by hand.
    """
    mask = job.mask
    if not mask.exists():
        return None
    from mudrock_cli.files import is_mudrock_mask
    from mudrock_cli.image.mask import holds_its_results, open_mask
    from mudrock_cli.image.ome_zarr import is_untouched

    edited = f"{mask}: was not written by mudrock, or was edited by hand since"
    hint = "--force to replace it, or another --out"
    try:
        found = open_mask(mask)
        if found.provenance.get("software") != job.provenance["software"]:
            raise _ForeignMaskError(edited, hint)
        if not holds_its_results(found):  # reads all, so a damaged file raises here
            raise _ForeignMaskError(edited, hint)
        if mask.is_dir() and not is_untouched(mask):
            raise _ForeignMaskError(edited, hint)
        if found.shape != job.micrograph.shape:
            return None
    except _ForeignMaskError:
        raise
    except MudrockError as error:
        if mask.is_file() and mask.stat().st_size and not is_mudrock_mask(mask):
            raise _ForeignMaskError(edited, hint) from error
        return None
    # Masks of version 0.1 do not tell: `segment` and most recipes drew outlines as labels do.
    recipe = found.provenance.get("recipe")
    exact = isinstance(recipe, dict) and recipe.get("name") == "exact"
    tells = {"outlines": "exact" if exact else "labels", **found.provenance}
    wanted = json.loads(json.dumps(job.provenance))
    if any(tells.get(key) != value for key, value in wanted.items() if key != "version"):
        return None
    for name, ending in sides.items():
        made = name in tells.get("saved", []) and side_path(mask, ending).is_file()
        if name not in _DRAWN and not made:
            return None
    results = tells.get("results")
    return results if isinstance(results, dict) else None


@contextmanager
def _set_aside(mask: Path, endings: Iterable[str]) -> Iterator[None]:
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
    with suppress(OSError):
        facts = path.stat()
        return facts.st_ino, facts.st_mtime_ns
    return None
