"""Files and folders: atomic writes, locks, checksums, untrusted content, finding inputs."""

import contextlib
import glob
import hashlib
import json
import math
import os
import platform
import re
import shutil
import stat
import tempfile
import threading
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mudrock_cli.errors import MudrockError, UsageError, describe, reading

if TYPE_CHECKING:
    from xml.etree import ElementTree

    import numpy.typing as npt

HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
_SYNCS = 16  # files waited for at a time


def part_path(path: Path) -> Path:
    """Return where this process writes what will stand at `path`: hidden, in the same folder.

    Two processes never share one, on one machine or on several that share a disk.
    """
    return path.with_name(f".{path.name}.{HOST}-{os.getpid()}.part")


@contextlib.contextmanager
def atomic_write(path: Path, hint: str = "choose another place, or make room") -> Iterator[Path]:
    """Yield a path for a file or a folder, and move what was made there into its place.

    After an exception nothing is left behind, and what stood at `path` before stays.

    Parameters
    ----------
    path : Path
        Where it shall stand; missing folders are made. A folder replaces a folder.
    hint : str
        What the user can do where it cannot be written.

    Raises
    ------
    MudrockError
        In place of an `OSError`: the disk is full, the folder cannot be written.
    """
    part = part_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove(part)
        yield part
        fsync(part)
        _move(part, path)
    except OSError as error:
        raise MudrockError(f"{path}: cannot be written ({describe(error)})", hint) from error
    finally:
        remove(part)


def write_text(path: Path, text: str, hint: str = "make room there") -> None:
    """Write a text file; where that fails, what was there before stays.

    Raises
    ------
    MudrockError
        If it cannot be written.
    """
    with atomic_write(path, hint) as part:
        part.write_text(text, "utf-8")


def fsync(part: Path) -> None:
    """Bring a file, or all of a folder, to the disk before it takes its name.

    A power cut must not leave a whole name on half of its content. Of a folder, writing begins
    everywhere before the first file is waited for, and many are waited for at a time: one after
    the other, the thousands of chunks of a mosaic would take the disk a moment each.
    """
    if not part.is_dir():
        _sync(part)
        return
    tree = [(Path(folder), names) for folder, _, names in os.walk(part)]
    files = [folder / name for folder, names in tree for name in names]
    if hasattr(os, "posix_fadvise"):  # lets Linux write them without waiting
        for path in files:
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with ThreadPoolExecutor(_SYNCS) as pool:
        list(pool.map(_sync, files))
    if os.name != "nt":  # where a folder cannot be opened
        for folder, _ in tree:
            _sync(folder)


def _sync(path: Path) -> None:
    # Windows syncs no file that is open for reading, others open no folder for writing.
    opened = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _move(part: Path, path: Path) -> None:
    """Give `part` its name; a folder of that name, which none can replace, is put away first."""
    if not part.is_dir():
        part.replace(path)
        return
    old = part_path(path.with_name(f"{path.name}.old"))
    with contextlib.suppress(FileNotFoundError):
        path.rename(old)
    try:
        part.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            old.rename(path)
        raise
    remove(old)


def remove(path: Path) -> None:
    """Remove a file or a folder, if there is one and that is allowed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Make a folder, and check before any work that files can be made in it.

    Raises
    ------
    UsageError
        If they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        message = f"{folder}: cannot be written ({describe(error)})"
        raise UsageError(message, "choose another --out") from error


# Locks: a mark of each run that lives; leftovers of those that died are removed.

_LEFTOVER = re.compile(r"\.(.+)\.([0-9a-f]{6})-(\d+)\.part", re.DOTALL)
_REPLACED = re.compile(r"(.+)\.old", re.DOTALL)  # see `atomic_write`
_MARK = "run"
_RENEWAL_SECONDS = 60.0
# Processes of another machine cannot be asked, only when they last wrote.
_SILENT_SECONDS = 3600  # of a mark, which is renewed
_STALE_SECONDS = 7 * 86_400  # of other files


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder while one works in it whose files belong together.

    The run renews its mark every minute. One of this machine counts while its process runs, one
    of another machine while it was renewed in the last hour.

    Raises
    ------
    UsageError
        If another run works in it, or it cannot be written.
    """
    check_writable(folder)
    mark = part_path(folder / _MARK)
    ended = threading.Event()
    renewal = threading.Thread(target=_renew, args=(mark, ended), daemon=True)
    try:
        mark.touch()
        remove_leftovers(folder)
        if any(path != mark for path in folder.glob(f".{_MARK}.*.part")):
            raise UsageError(
                f"{folder}: another run works in it",
                "wait for its end, or choose another --out; a run that died on another machine "
                "keeps it for an hour",
            )
        renewal.start()
        yield
    finally:
        ended.set()
        if renewal.ident is not None:
            renewal.join()
        with contextlib.suppress(OSError):
            mark.unlink(missing_ok=True)


def _renew(mark: Path, ended: threading.Event) -> None:
    while not ended.wait(_RENEWAL_SECONDS):
        with contextlib.suppress(OSError):  # a share that is away for a moment
            os.utime(mark)


def remove_leftovers(folder: Path) -> None:
    """Remove the unfinished files of runs that were killed; those of living runs stay."""
    if not folder.is_dir():
        return
    for path in list(folder.iterdir()):
        match = _LEFTOVER.fullmatch(path.name)
        if match and not _may_be_written(path, match[1], match[2], int(match[3])):
            before = _REPLACED.fullmatch(match[1])
            if before and not (folder / before[1]).exists():  # killed between two renames
                path.rename(folder / before[1])
            else:
                remove(path)


def _may_be_written(path: Path, name: str, host: str, process: int) -> bool:
    if host == HOST:
        return _is_running(process)
    patience = _SILENT_SECONDS if name == _MARK else _STALE_SECONDS
    with contextlib.suppress(OSError):
        return time.time() - path.stat().st_mtime < patience
    return True


def _is_running(process: int) -> bool:
    if os.name == "nt":  # where signal 0 is Ctrl-C
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


# Which folders are OME-Zarr images, and files inside them that may be trusted to be files.

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
    if not is_zarr(path):
        return False
    if _COLLECTION in _read_attributes(path):  # its images may lie in subfolders
        return True
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        return any(
            entry.name.lower().endswith(SUFFIX)
            and not entry.name.startswith(".")
            and entry.is_dir()
            for entry in entries
        )
    return False


def _read_attributes(path: Path) -> dict[str, Any]:
    """Return the attributes of a Zarr 3 folder; none where they cannot be read."""
    with contextlib.suppress(MudrockError):
        found = (read_json(path, path, "zarr.json") or {}).get("attributes")
        return found if isinstance(found, dict) else {}
    return {}


def start_collection(path: Path) -> None:
    """Make a folder a Zarr group, which will hold images.

    Raises
    ------
    MudrockError
        If it cannot be written.
    """
    place = path / "zarr.json"
    if not place.exists():
        marked = {"zarr_format": 3, "node_type": "group", "attributes": {_COLLECTION: True}}
        write_text(place, json.dumps(marked) + "\n", "choose another place, or make room")


def is_image(path: Path) -> bool:
    """Return whether a path is a file, or a Zarr folder that is to be opened as one image."""
    return path.is_file() or (is_zarr(path) and not is_collection(path))


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
    with reading(place, "copy or export the image again"):
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
        If something in it leads out of the store, or is no file.
    """
    own = [folder / name for name in METADATA]
    return sum(size for place, size in _walk_store(root, folder) if place not in own)


def _walk_store(root: Path, folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield all files below a folder of a store, and their bytes, in a fixed order."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for place in sorted(Path(parent, name) for name in [*names, *links]):
            with reading(place):
                if place.is_symlink():
                    locate(root, Path(parent), place.name)
                size = size_of(place)
            if size is not None:
                yield place, size


# The fingerprint of a file's content, for provenance.


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, read in pieces.

    That of a folder (OME-Zarr) is of the names and the hashes of all files in it.

    Raises
    ------
    MudrockError
        If the file cannot be read, or a folder holds what is no file of it.
    """
    with reading(path):
        if path.is_dir():
            return _hash_folder(path)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def _hash_folder(path: Path) -> str:
    whole = hashlib.sha256()
    for place, _ in _walk_store(path, path):
        relative = place.relative_to(path).as_posix()
        whole.update(f"{relative}\0{hash_file(place)}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


# Files of named arrays (``.npz``): numbers are read from them, and nothing is executed.

_SUSPICIOUS_BYTES = 1 << 28
_SUSPICIOUS_RATIO = 200
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_SUFFIX = ".npy"


def read_named_arrays(path: Path) -> "dict[str, npt.NDArray[Any]]":
    """Read all arrays of a ``.npz``; every size is checked before it is believed.

    Parameters
    ----------
    path : Path
        File, as `numpy.savez` and `numpy.savez_compressed` write it.

    Raises
    ------
    MudrockError
        If it is no whole file of numbers, holds something else beside them (a pickle), or unfolds
        beyond reason.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise MudrockError(f"{path}: cannot be read (not a file)")
        with zipfile.ZipFile(path) as archive:
            _check_size(path, archive)
            return {
                info.filename.removesuffix(_SUFFIX): _read_member(archive, info)
                for info in archive.infolist()
            }
    except MudrockError:
        raise
    except OSError as error:
        raise MudrockError(f"{path}: cannot be read ({describe(error)})") from error
    except Exception as error:  # zip, zlib and NumPy raise many kinds on damage
        raise MudrockError(f"{path}: no whole file of named arrays ({describe(error)})") from error


def _check_size(path: Path, archive: zipfile.ZipFile) -> None:
    promised = sum(info.file_size for info in archive.infolist())
    stored = path.stat().st_size
    if promised > _SUSPICIOUS_BYTES and promised > _SUSPICIOUS_RATIO * stored:
        raise MudrockError(
            f"{path}: {stored / 1e6:.1f} MB promise {promised / 1e6:.0f} MB; this looks like a bomb"
        )
    names = [info.filename for info in archive.infolist()]
    if len(set(names)) < len(names):
        raise ValueError("two arrays of one name")


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> "npt.NDArray[Any]":
    """Return one array; its header must promise exactly the bytes that the archive holds."""
    import numpy as np

    if not info.filename.endswith(_SUFFIX) or info.compress_type not in _METHODS:
        raise ValueError(f"{info.filename[:60]} is no array")
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        if version == (1, 0):
            shape, by_column, kind = np.lib.format.read_array_header_1_0(member)
        elif version == (2, 0):
            shape, by_column, kind = np.lib.format.read_array_header_2_0(member)
        else:
            raise ValueError(f"{info.filename[:60]} is of version {version}")
        if kind.kind not in "biuf":
            raise ValueError(f"{info.filename[:60]} holds {kind}, no numbers")
        promised = math.prod(shape) * kind.itemsize
        if min(shape, default=0) < 0 or promised != info.file_size - member.tell():
            raise ValueError(f"{info.filename[:60]} promises {promised} bytes")
        values = np.frombuffer(member.read(promised), kind).copy()  # backends want to write
    return values.reshape(shape, order="F" if by_column else "C")


PROVENANCE = "mudrock"
"""Attribute of an OME-Zarr that holds how mudrock made it."""

NAMESPACE = "mudrock/provenance"
"""Of the same in the OME-XML of a mask."""

_HEAD_BYTES = 1 << 16
# The description stands right behind the first directory, whose strip offsets come after it.


def is_mudrock_mask(path: Path) -> bool:
    """Return whether a file or an OME-Zarr looks like a mask, or labels, written by mudrock."""
    if path.is_dir():
        return PROVENANCE in _read_attributes(path)
    return NAMESPACE.encode() in _read_tiff_head(path)


def _read_tiff_head(path: Path) -> bytes:
    if not path.is_file():  # a pipe would be waited for
        return b""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return b""
    return head if head.startswith((b"II", b"MM")) else b""


# The images that a command line names, and the masks that belong to micrographs.

IMAGE_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".zarr")
"""Suffixes of micrographs, compared without case."""

MASK_SUFFIXES = (".tif", ".tiff", ".png", ".bmp", ".zarr")
"""Suffixes of masks, compared without case."""

_DERIVED = re.compile(r".+\.(overlay|confidence|instances|probability|steps)", re.IGNORECASE)


def printable(name: str | os.PathLike[str]) -> str:
    """Return a name as UTF-8 can tell it: files from old archives may have others."""
    return os.fsencode(name).decode("utf-8", "replace")


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

    def check_name(self) -> None:
        """Refuse a name that cannot be written into a table or a mask.

        Raises
        ------
        MudrockError
            If it is no UTF-8.
        """
        name = printable(self.path)
        if name != str(self.path):
            raise MudrockError(f"{name}: its name is no UTF-8", "rename the file")


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
        return
    base, matches = path, [path] if path.is_dir() else []
    if not matches and glob.has_magic(argument):
        base = _glob_base(path)
        matches = [Path(found) for found in sorted(glob.glob(argument, recursive=True))]  # noqa: PTH207 takes ** too
    for match in matches:
        inside = walk_images(match) if match.is_dir() and not is_image(match) else [match]
        for file in inside:
            if _is_wanted(file, suffixes, keep_masks):
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
    if file.stem.lower().endswith(".labels") and b"mudrock\0" in _read_tiff_head(file):
        return False  # of `mudrock export`; masks of others may be called so
    return keep_masks or not is_mudrock_mask(file)


# Find which label mask belongs to which micrograph in a folder of labelled data.

_LAYOUTS = (
    ("images", "labels"),
    ("JPEGImages", "SegmentationClassRaw"),
    ("JPEGImages", "SegmentationClass"),
)


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
        if not _is_wanted(path, suffixes, keep_masks=True):
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in files:
            corrected = [one for one in (files[name], path) if not is_mudrock_mask(one)]
            if len(corrected) == 1:  # it takes the place of the one that mudrock wrote
                files[name] = corrected[0]
                continue
            raise UsageError(
                f"{path} and {files[name].name} have the same name", "keep one of the two"
            )
        files[name] = path
    return files


def parse_xml(text: str) -> "ElementTree.Element | None":
    """Parse XML, or return None for what is none, or could expand without end."""
    from xml.etree import ElementTree

    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    text = text.strip("\0 \r\n\t")
    if text.startswith("<?"):  # its encoding no longer holds once the text is decoded
        text = text[text.find("?>") + 2 :]
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError):
        return None
