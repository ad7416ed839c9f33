"""Files, folders and globs of a command line to a sorted list of images."""

import glob
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mudrock_cli.errors import UsageError
from mudrock_cli.image.mask_metadata import is_mudrock_mask
from mudrock_cli.image.ngff.folder import is_image
from mudrock_cli.image.ngff.metadata import holds_mask

IMAGE_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".zarr")
"""Suffixes of micrographs, compared without case."""

MASK_SUFFIXES = (".tif", ".tiff", ".png", ".bmp", ".zarr")
"""Suffixes of masks, compared without case."""

_DERIVED = re.compile(r".+\.(overlay|confidence|instances|probability|steps)", re.IGNORECASE)


@dataclass(frozen=True)
class Input:
    """One image to work on.

    Parameters
    ----------
    path : Path
        Where it is.
    relative : Path
        Where its result goes below the output folder, without a suffix.
    """

    path: Path
    relative: Path


def find_inputs(
    arguments: Sequence[str],
    *,
    suffixes: Sequence[str] = IMAGE_SUFFIXES,
    keep_masks: bool = False,
) -> list[Input]:
    """Find the images that command-line arguments name.

    A folder is searched with its subfolders, which `relative` mirrors; so does a quoted glob from
    its first wildcard on. The folder of an OME-Zarr is one image, as if it were a file. In folders
    and globs other suffixes, hidden files, overlays and masks written by mudrock are left out; a
    file named by itself is always taken. An argument that leads to nothing stays in the list beside
    others, so that opening it tells why.

    Parameters
    ----------
    arguments : sequence of str
        Files, folders and globs.
    suffixes : sequence of str
        Suffixes taken in folders and globs, in lower case.
    keep_masks : bool
        Take masks written by mudrock too.

    Returns
    -------
    list of Input
        Sorted by path, each file once.

    Raises
    ------
    UsageError
        If nothing at all is found.
    """
    found: dict[str, Input] = {}
    missing: list[Input] = []
    for argument in arguments:
        inputs = list(_expand(argument, tuple(suffixes), keep_masks))
        for item in inputs:
            found.setdefault(os.path.realpath(item.path), item)
        if not inputs:
            missing.append(Input(Path(argument), Path(Path(argument).stem)))
    if not found:
        names = ", ".join(arguments) or "no input"
        raise UsageError(f"{names}: no images found", f"give files of {' '.join(suffixes)}")
    return sorted([*found.values(), *missing], key=lambda item: item.path)


def find_collisions(inputs: Iterable[Input]) -> dict[Path, Path]:
    """Find inputs whose results would have the same name.

    Names are compared without case, since not every file system tells ``A.tif`` from ``a.tif``.

    Parameters
    ----------
    inputs : iterable of Input
        Inputs of one run.

    Returns
    -------
    dict of Path
        Each input that collides, and another that claims the same name; empty when all differ.
    """
    claims: defaultdict[str, list[Path]] = defaultdict(list)
    for item in inputs:
        claims[item.relative.as_posix().casefold()].append(item.path)
    collisions = {}
    for paths in claims.values():
        if len(paths) > 1:
            collisions.update(dict.fromkeys(paths[1:], paths[0]) | {paths[0]: paths[1]})
    return collisions


def _expand(argument: str, suffixes: tuple[str, ...], keep_masks: bool) -> Iterator[Input]:
    """Yield the images behind one argument."""
    path = Path(argument)
    if is_image(path):
        yield Input(path, Path(path.stem))
    elif path.is_dir():
        for file in walk_images(path):
            if _is_wanted(file, suffixes, keep_masks):
                yield Input(file, file.relative_to(path).with_suffix(""))
    elif glob.has_magic(argument):
        base = _glob_base(path)
        for match in sorted(glob.glob(argument, recursive=True)):  # noqa: PTH207 takes ** too
            file = Path(match)
            if file.is_dir() and not is_image(file):
                for inner in walk_images(file):
                    if _is_wanted(inner, suffixes, keep_masks):
                        yield Input(inner, inner.relative_to(base).with_suffix(""))
            elif _is_wanted(file, suffixes, keep_masks):
                yield Input(file, file.relative_to(base).with_suffix(""))


def _glob_base(pattern: Path) -> Path:
    """Return the folder before the first wildcard."""
    parts = []
    for part in pattern.parts:
        if glob.has_magic(part):
            break
        parts.append(part)
    return Path(*parts)


def walk_images(folder: Path) -> Iterator[Path]:
    """Yield the files and the OME-Zarr folders below a folder.

    Links to folders are not followed: they may be cyclic.

    Raises
    ------
    UsageError
        If a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise UsageError(f"{error.filename}: {error.strerror}", "allow reading the folder")

    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        stores = [name for name in folders if is_image(Path(parent, name))]
        folders[:] = [name for name in folders if name not in stores]
        for name in sorted([*files, *stores]):
            yield Path(parent, name)


def _is_wanted(file: Path, suffixes: tuple[str, ...], keep_masks: bool) -> bool:
    """Return whether a file met in a folder is an image to work on."""
    if file.name.startswith(".") or file.suffix.lower() not in suffixes:
        return False
    if _DERIVED.fullmatch(file.stem):
        return False
    return keep_masks or not (holds_mask(file) if file.is_dir() else is_mudrock_mask(file))
