"""Whether the workers of a cluster see the files and folders of a command."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mudrock_cli.commands.cluster.workers import Cluster
from mudrock_cli.errors import UsageError
from mudrock_cli.image.bad_input import describe
from mudrock_cli.image.placement import part_path

Wanted = tuple[Sequence[Path], Path | None]
"""Paths that a worker reads, and a mark in the folder that it writes to."""

_SHARE = "use a file system that all machines mount at the same place"


def check_paths(
    cluster: Cluster,
    files: Iterable[Path],
    folders: Iterable[Path] = (),
    out: Path | None = None,
) -> None:
    """Make sure, in one round, that the workers that are there see what is here.

    Parameters
    ----------
    cluster : Cluster
        The workers.
    files : iterable of Path
        What they read; in every folder one that is there stands for the others.
    folders : iterable of Path
        Folders that they read from.
    out : Path, optional
        The folder that they write to, which exists.

    Raises
    ------
    UsageError
        If one does not see a file or folder, or cannot write.
    """
    read = [*_choose_one_each(files), *(path for path in folders if path.exists())]
    with _marking(out) as mark:
        answers = cluster.ask(_look, ([path.absolute() for path in read], mark))
    for worker, answer in answers.items():
        if answer is not None:
            number, trouble, hint = answer
            path = read[number] if number < len(read) else out
            raise UsageError(f"{path}: the worker {worker} {trouble}", hint)


def _choose_one_each(files: Iterable[Path]) -> list[Path]:
    """Return a file of every folder, which exists here."""
    found: dict[Path, Path] = {}
    for path in files:
        if path.parent not in found and path.exists():
            found[path.parent] = path
    return list(found.values())


@contextmanager
def _marking(folder: Path | None) -> Iterator[Path | None]:
    """Put a mark into a folder: there may be another one of its name on another machine."""
    if folder is None:
        yield None
        return
    mark = part_path(folder.absolute() / "seen")
    mark.touch()
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)


def _look(wanted: Wanted) -> tuple[int, str, str] | None:
    """Return the number of the first path that this worker lacks, why, and what helps."""
    paths, mark = wanted
    for number, path in enumerate(paths):
        if not os.path.exists(path):  # noqa: PTH110  no permission is no error to it
            return number, "does not see it", _SHARE
    if mark is None:
        return None
    if not os.path.exists(mark):  # noqa: PTH110
        return len(paths), "does not see it, or has another folder of its name", _SHARE
    try:
        with tempfile.TemporaryFile(dir=mark.parent):
            return None
    except OSError as error:
        hint = "let the workers' user write there, or choose another --out"
        return len(paths), f"cannot write there ({describe(error)})", hint
