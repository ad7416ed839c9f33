"""Where a batch writes: paths checked before work, leftovers removed, finished masks found."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.image.claims import remove_leftovers
from mudrock_cli.image.placement import check_writable, part_path

if TYPE_CHECKING:
    from mudrock_cli.image.inputs import Input
    from mudrock_cli.image.micrograph import Micrograph

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
    from mudrock_cli.image.ngff.folder import SUFFIX, is_collection, start_collection
    from mudrock_cli.image.ngff.metadata import holds_mask

    if out.suffix.lower() != SUFFIX:
        return Places(out, inputs)
    if len(inputs) == 1 and not is_collection(out):
        alone = replace(inputs[0], relative=Path(out.stem))
        return Places(out.parent, [alone], SUFFIX)
    if out.is_dir() and holds_mask(out):
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
    from mudrock_cli.image.ngff.writer import is_untouched

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
