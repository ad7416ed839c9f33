"""New files and folders: written beside their place and moved into it, so that they are whole."""

import contextlib
import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.image.bad_input import describe

HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
_SYNCS = 16  # files waited for at a time


def part_path(path: Path) -> Path:
    """Return where this process writes what will stand at `path`: hidden, in the same folder.

    Two processes never share one, on one machine or on several that share a disk.
    """
    return path.with_name(f".{path.name}.{HOST}-{os.getpid()}.part")


@contextlib.contextmanager
def placing(path: Path, hint: str = "choose another place, or make room") -> Iterator[Path]:
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
        settle(part)
        _move(part, path)
    except OSError as error:
        raise MudrockError(f"{path}: cannot be written ({describe(error)})", hint) from error
    finally:
        remove(part)


def write_text(path: Path, text: str) -> None:
    """Write a text file; where that fails, what was there before stays.

    Raises
    ------
    MudrockError
        If it cannot be written.
    """
    with placing(path, "make room there") as part:
        part.write_text(text, "utf-8")


def settle(part: Path) -> None:
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
    for path in files:
        _begin_sync(path)
    with ThreadPoolExecutor(_SYNCS) as pool:
        list(pool.map(_sync, files))
    if os.name != "nt":  # where a folder cannot be opened
        for folder, _ in tree:
            _sync(folder)


def _begin_sync(path: Path) -> None:
    """Let Linux write a file to the disk without waiting for it."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


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
