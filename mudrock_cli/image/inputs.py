"""Files, folders and globs of a command line to a sorted list of images."""

import glob
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mudrock_cli.errors import UsageError
from mudrock_cli.files import is_image
from mudrock_cli.image.ome_zarr_metadata import holds_mask
from mudrock_cli.image.pixel_size import is_mudrock_mask

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


# Find which label mask belongs to which micrograph in a folder of labelled data.

_LAYOUTS = (
    ("images", "labels"),
    ("JPEGImages", "SegmentationClassRaw"),
    ("JPEGImages", "SegmentationClass"),
)
_SIDE_OUTPUTS = (".overlay", ".confidence", ".instances", ".probability")  # of `segment --save`


@dataclass(frozen=True)
class Pair:
    """A label mask and the micrograph it belongs to.

    Parameters
    ----------
    name : str
        Path below the folder of labels without its suffix, such as ``kumano_11`` or ``sub/a``.
    label : Path
        The mask.
    image : Path or None
        The micrograph; None when the folder holds masks only, or this one's is missing.
    """

    name: str
    label: Path
    image: Path | None


def find_pairs(data: Path) -> list[Pair]:
    """Find the label masks of a folder, sorted by name, each with its micrograph if there is one.

    Parameters
    ----------
    data : Path
        A folder with ``images/`` and ``labels/``, one in PASCAL VOC layout (``JPEGImages/`` and
        ``SegmentationClassRaw/`` or ``SegmentationClass/``), or a folder of masks.

    Raises
    ------
    UsageError
        If it is no folder or holds no mask, or two masks have the same name.
    """
    if not data.is_dir():
        raise UsageError(
            f"{data}: no such folder",
            "give a folder with images/ and labels/, or a folder of label masks",
        )
    for images, labels in _LAYOUTS:
        if (data / labels).is_dir():
            return _pair(data / labels, data / images)
    return _pair(data, None)


def find_partner(folder: Path, name: str) -> Path | None:
    """Return the mask called `name` below `folder`, or None; an OME-Zarr may be it itself."""
    if is_image(folder):
        return folder if folder.stem == Path(name).name else None
    for suffix in MASK_SUFFIXES:
        for path in (folder / f"{name}{suffix}", folder / f"{name}{suffix.upper()}"):
            if is_image(path):
                return path
    return None


def _pair(labels: Path, images: Path | None) -> list[Pair]:
    masks = _list_files(labels, MASK_SUFFIXES)
    if not masks:
        raise UsageError(
            f"{labels}: no label mask in it", "masks are TIFF, PNG or BMP files, or OME-Zarr"
        )
    found = _list_files(images, IMAGE_SUFFIXES) if images and images.is_dir() else {}
    return [Pair(name, path, found.get(name)) for name, path in sorted(masks.items())]


def _list_files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in sorted(walk_images(folder)):
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name.endswith(_SIDE_OUTPUTS):
            continue
        if name in files:
            raise UsageError(
                f"{path} and {files[name].name} have the same name", "keep one of the two"
            )
        files[name] = path
    return files
