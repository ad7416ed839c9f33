"""New files: written beside their place and moved into it, so that a file that exists is whole."""

import contextlib
import hashlib
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.image.bad_input import describe

_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
_LEFTOVER = re.compile(r"\.(.+)\.([0-9a-f]{6})-(\d+)\.part", re.DOTALL)
_REPLACED = re.compile(r"(.+)\.old", re.DOTALL)  # see `ngff.placement`
_STALE_SECONDS = 7 * 86_400  # of another machine, whose processes cannot be asked


def part_path(path: Path) -> Path:
    """Return where this process writes what will stand at `path`: hidden, in the same folder.

    Two processes never share one, on one machine or on several that share a disk.
    """
    return path.with_name(f".{path.name}.{_HOST}-{os.getpid()}.part")


@contextlib.contextmanager
def placing(path: Path, hint: str = "choose another place, or make room") -> Iterator[Path]:
    """Yield a path to write to, and move what was written there into its place.

    After an exception nothing is left behind, and what stood at `path` before stays.

    Parameters
    ----------
    path : Path
        Where the file shall stand; missing folders are made.
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
        yield part
        settle(part)
        part.replace(path)
    except OSError as error:
        raise MudrockError(f"{path}: cannot be written ({describe(error)})", hint) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def settle(part: Path) -> None:
    """Bring a file to the disk before it takes its name: a power cut must not leave it empty."""
    with part.open("r+b") as file:  # Windows syncs no file that is open for reading
        os.fsync(file.fileno())


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


@contextlib.contextmanager
def claiming(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder while one works in it whose files belong together.

    Raises
    ------
    UsageError
        If another run works in it, or it cannot be written.
    """
    check_writable(folder)
    mark = part_path(folder / "run")
    try:
        mark.touch()
        remove_leftovers(folder)
        if any(path != mark for path in folder.glob(".run.*.part")):
            raise UsageError(
                f"{folder}: another run works in it",
                "wait for its end, or choose another --out; of a dead run delete .run.*.part there",
            )
        yield
    finally:
        with contextlib.suppress(OSError):
            mark.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the unfinished files of runs that were killed; those of living runs stay."""
    if not folder.is_dir():
        return
    for path in list(folder.iterdir()):
        match = _LEFTOVER.fullmatch(path.name)
        if match and not _may_be_written(path, match[2], int(match[3])):
            before = _REPLACED.fullmatch(match[1])
            if before and not (folder / before[1]).exists():  # killed between two renames
                path.rename(folder / before[1])
            elif path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)


def _may_be_written(path: Path, host: str, process: int) -> bool:
    if host == _HOST:
        return _is_running(process)
    with contextlib.suppress(OSError):
        return time.time() - path.stat().st_mtime < _STALE_SECONDS
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
