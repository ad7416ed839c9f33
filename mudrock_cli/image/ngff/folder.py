"""Which folders are OME-Zarr images, and files inside them that may be trusted to be files."""

import contextlib
import json
import os
import stat
from pathlib import Path
from typing import Any

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.bad_input import refusing
from mudrock_cli.image.placement import placing

SUFFIX = ".zarr"
METADATA = ("zarr.json", ".zarray", ".zattrs")
"""Files of an array that are no chunks."""

_MARKS = ("zarr.json", ".zgroup", ".zarray")
_METADATA_BYTES = 16 << 20
_COLLECTION = "mudrock_collection"


def is_zarr(path: Path) -> bool:
    """Return whether a path is a Zarr folder, by its name or by what stands in it."""
    if not path.is_dir():
        return False
    return path.suffix.lower() == SUFFIX or any((path / mark).is_file() for mark in _MARKS)


def is_collection(path: Path) -> bool:
    """Return whether a Zarr folder is one of several images, ``NAME.zarr`` each, and none itself.

    `segment` and `groundtruth` make such a folder of several micrographs.
    """
    return is_zarr(path) and (
        _is_marked(path)
        or any(
            child.name.lower().endswith(SUFFIX)
            and not child.name.startswith(".")
            and child.is_dir()
            for child in _scan(path)
        )
    )


def _is_marked(path: Path) -> bool:
    """Tell whether `start_collection` made this folder: its images may lie in subfolders."""
    with contextlib.suppress(MudrockError):
        found = read_json(path, path, "zarr.json") or {}
        return isinstance(found.get("attributes"), dict) and _COLLECTION in found["attributes"]
    return False


def start_collection(path: Path) -> None:
    """Make a folder a Zarr group, which will hold images.

    Raises
    ------
    MudrockError
        If it cannot be written.
    """
    place = path / "zarr.json"
    if not place.exists():
        with placing(place) as part:
            marked = {"zarr_format": 3, "node_type": "group", "attributes": {_COLLECTION: True}}
            part.write_text(json.dumps(marked) + "\n", "utf-8")


def is_image(path: Path) -> bool:
    """Return whether a path is a file, or a Zarr folder that is to be opened as one image."""
    return path.is_file() or (is_zarr(path) and not is_collection(path))


def _scan(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except OSError:
        return []


def locate(root: Path, folder: Path, key: str) -> Path:
    """Return the place of a file in a store.

    Parameters
    ----------
    root : Path
        The store, which nothing may lead out of.
    folder : Path
        Folder that `key` counts from.
    key : str
        Relative path, from metadata that anybody may have written.

    Raises
    ------
    MudrockError
        If it lies outside of the store, by its name or through a link.
    """
    place = folder / key
    real = Path(os.path.realpath(place))
    if "\0" in key or not real.is_relative_to(os.path.realpath(root)):
        raise MudrockError(f"{place}: leads out of {root}", "keep all of an OME-Zarr in its folder")
    return place


def size_of(place: Path) -> int | None:
    """Return the bytes of a file, None where there is none.

    Raises
    ------
    MudrockError
        If it is a pipe or a device, which would be read for ever.
    """
    try:
        found = place.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(found.st_mode):
        raise MudrockError(f"{place}: not a file", "copy or export the image again")
    return found.st_size


def read_json(root: Path, folder: Path, name: str) -> dict[str, Any] | None:
    """Read a metadata file of a store; None where there is none.

    Raises
    ------
    MudrockError
        If it holds something else than a JSON object, or leads out of the store.
    """
    place = locate(root, folder, name)
    with refusing(place, "copy or export the image again"):
        size = size_of(place)
        if size is None:
            return None
        if size > _METADATA_BYTES:
            raise MudrockError(f"{place}: {size / 1e6:.0f} MB of metadata", "export it again")
        found = json.loads(place.read_bytes())
        if not isinstance(found, dict):
            raise MudrockError(f"{place}: no JSON object", "copy or export the image again")
        return found


def count_bytes(root: Path, folder: Path) -> int:
    """Return the bytes of all files below a folder of a store, but for its metadata.

    Raises
    ------
    MudrockError
        If something in it leads out of the store.
    """
    total, waiting = 0, [folder]
    while waiting:
        for entry in _scan(waiting.pop()):
            if entry.is_symlink():
                locate(root, Path(entry.path).parent, entry.name)
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
                continue
            if folder.joinpath(entry.name) == Path(entry.path) and entry.name in METADATA:
                continue
            with refusing(Path(entry.path)):
                total += size_of(Path(entry.path)) or 0
    return total
