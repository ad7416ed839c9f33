"""What runs leave beside their places: marks of those that live, leftovers of those that died."""

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from mudrock_cli.errors import UsageError
from mudrock_cli.image.placement import HOST, check_writable, part_path, remove

_LEFTOVER = re.compile(r"\.(.+)\.([0-9a-f]{6})-(\d+)\.part", re.DOTALL)
_REPLACED = re.compile(r"(.+)\.old", re.DOTALL)  # see `placing`
_MARK = "run"
_RENEWAL_SECONDS = 60.0
# Processes of another machine cannot be asked, only when they last wrote.
_SILENT_SECONDS = 3600  # of a mark, which is renewed
_STALE_SECONDS = 7 * 86_400  # of other files


@contextlib.contextmanager
def claiming(folder: Path) -> Iterator[None]:
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
