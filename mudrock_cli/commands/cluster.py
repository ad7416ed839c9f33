"""``--scheduler``: the work of a command on the workers of a Dask cluster.

Nothing here knows what the work is. Small images travel as names of files, and workers read and
write them on the file system that all machines share; of a mosaic the bands travel, and this
process puts together what comes back. Dask gives the tasks of a lost worker to another one.
"""

import logging
import os
import re
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from mudrock_cli import __version__
from mudrock_cli.errors import MudrockError, UsageError, describe

if TYPE_CHECKING:
    from distributed import Client, Future

    from mudrock_cli.files import Input

Part = TypeVar("Part")
Result = TypeVar("Result")

WHOLE_PIXELS = 1 << 26
"""An image up to this size is one task; of a larger one the bands are."""

_FEWEST_AHEAD = 16  # tasks given out before the first result is taken in
_REFRESH = 5.0  # seconds between two looks at how many workers there are
_TASKS_PER_THREAD = 2  # of a mosaic: more balance better, and compute more seams twice
_CONNECT_SECONDS = 8
_SAME = "install the same versions of mudrock and Python everywhere"
_START = "start one: dask scheduler, and dask worker ADDRESS on every machine"
_SHARE = "use a file system that all machines mount at the same place"


class Cluster:
    """The workers behind a scheduler.

    Parameters
    ----------
    client : Client
        Connected.
    """

    def __init__(self, client: "Client") -> None:
        self._client = client
        self._seen = -_REFRESH
        self._threads = 0

    @property
    def threads(self) -> int:
        """Tasks that the workers can do at once, now."""
        if time.monotonic() - self._seen > _REFRESH:
            with _noticing_loss():
                self._threads = sum(self._client.nthreads().values())
            self._seen = time.monotonic()
        return self._threads

    @property
    def tasks(self) -> int:
        """Into how many tasks a mosaic is cut where seams cost something."""
        return _TASKS_PER_THREAD * max(self.threads, 1)

    def map(self, work: Callable[[Part], Result], parts: Iterable[Part], /) -> Iterator[Result]:
        """Do the work on all parts, and yield the results in order, as the builtin `map` does.

        Few parts are under way at a time, so that memory does not grow with their number.
        """
        return self._in_order(work, parts, _take)

    def attempt(
        self, work: Callable[[Part], Result], parts: Iterable[Part]
    ) -> Iterator[Result | MudrockError]:
        """Do the work on all parts, and yield results or failures in order."""
        return self._in_order(work, parts, _attempt)

    def ask(self, question: Callable[[Part], Result], part: Part) -> dict[str, Result]:
        """Return what every worker that is there answers, by its address.

        A worker that is lost meanwhile answers nothing: others do its work.
        """
        with _noticing_loss():
            answers: dict[str, Result] = self._client.run(question, part, on_error="ignore")
        return answers

    def _in_order(
        self, work: Callable[[Part], Result], parts: Iterable[Part], take: Callable[["Future"], Any]
    ) -> Iterator[Any]:
        waiting: deque[Future] = deque()
        try:
            for part in parts:
                waiting.append(self._submit(work, part))
                if len(waiting) >= max(_FEWEST_AHEAD, 3 * self.threads):
                    yield take(waiting.popleft())
            while waiting:
                yield take(waiting.popleft())
        finally:  # also after Ctrl-C, or where the results are no longer wanted
            if waiting and self._client.status == "running":
                self._client.cancel(list(waiting), force=True)

    def _submit(self, work: Callable[[Part], Result], part: Part) -> "Future":
        with _noticing_loss():
            return self._client.submit(_perform, __version__, work, part, pure=False)


def fits_a_task(item: "Input", max_pixels: int, *, masks: bool = False) -> bool:
    """Tell whether an image is done by one worker; one that cannot be opened is done here."""
    from mudrock_cli.image.micrograph import open_samples

    try:
        rows, columns = open_samples(item.path, max_pixels, allow_high_compression=masks).shape
    except MudrockError:
        return False
    return rows * columns <= WHOLE_PIXELS


def _perform(version: str, work: Callable[[Part], Result], part: Part) -> Result:
    """Do a part, on a worker that may have come after the versions were compared."""
    if version != __version__:
        from distributed import get_worker

        raise _explain_version(get_worker().address, __version__, version)
    return work(part)


def _explain_version(worker: str, version: str, wanted: str) -> UsageError:
    return UsageError(f"the worker {worker} has mudrock {version}, not {wanted}", _SAME)


def _take(future: "Future") -> Any:
    """Return the result of a task, or raise what it raised."""
    from distributed import KilledWorker

    try:
        with _noticing_loss():
            return future.result()
    except KilledWorker as error:
        raise MudrockError(
            "several workers died of this task, probably for want of memory",
            "give workers more memory or fewer threads, and look at their logs",
        ) from error


def _attempt(future: "Future") -> Any:
    """Return the result of a task, or why it has none, where that concerns this task alone."""
    try:
        return _take(future)
    except UsageError:
        raise
    except MudrockError as error:
        return error


@contextmanager
def _noticing_loss() -> Iterator[None]:
    """Say in a line that the connection to the scheduler broke."""
    from concurrent.futures import CancelledError

    from distributed.client import ClosedClientError
    from distributed.comm import CommClosedError

    try:
        yield
    except (CancelledError, CommClosedError, ClosedClientError) as error:
        raise UsageError(
            "the scheduler is lost", "start it again and repeat the command, which goes on"
        ) from error


# Workers run in other folders: their messages, with paths as the user typed them.


def as_typed(text: str, places: Iterable[Path]) -> str:
    """Return a message of a worker with paths as the user typed them.

    Parameters
    ----------
    text : str
        The message, which names absolute paths.
    places : iterable of Path
        Files and folders as the user typed them; names below a folder are put right, too.
    """
    typed = {str(place.absolute()): str(place) for place in places}
    if not typed:
        return text
    separator = re.escape(os.sep)
    known = "|".join(map(re.escape, sorted(typed, key=len, reverse=True)))

    def restore(found: re.Match[str]) -> str:
        name = typed[found[1]]
        return "" if name == os.curdir and found[2] else name + found[2]

    # A name ends at a separator, or before a sign that goes on no name.
    return re.sub(rf"(?<![\w.{separator}-])({known})({separator}|(?![\w.-]))", restore, text)


def error_as_typed(error: MudrockError, places: Iterable[Path]) -> MudrockError:
    """Return the error of a worker with paths as the user typed them."""
    places = list(places)
    typed = type(error)(as_typed(error.message, places), as_typed(error.hint, places))
    typed.__cause__ = error.__cause__
    return typed


# Whether the workers of a cluster see the files and folders of a command.


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
    one_each = {path.parent: path for path in reversed(list(files)) if path.exists()}
    read = [*reversed(one_each.values()), *(path for path in folders if path.exists())]
    with _marked(out) as mark:
        answers = cluster.ask(_look, ([path.absolute() for path in read], mark))
    for worker, answer in answers.items():
        if answer is not None:
            number, trouble, hint = answer
            path = read[number] if number < len(read) else out
            raise UsageError(f"{path}: the worker {worker} {trouble}", hint)


@contextmanager
def _marked(folder: Path | None) -> Iterator[Path | None]:
    """Put a mark into a folder: there may be another one of its name on another machine."""
    from mudrock_cli.files import part_path

    if folder is None:
        yield None
        return
    mark = part_path(folder.absolute() / "seen")
    mark.touch()
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)


def _look(wanted: tuple[Sequence[Path], Path | None]) -> tuple[int, str, str] | None:
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


# The connection to a scheduler.


@contextmanager
def open_cluster(address: str | None) -> Iterator[Cluster | None]:
    """Connect to a scheduler, if one is named; yields None otherwise.

    Raises
    ------
    UsageError
        If Dask is not installed, the scheduler cannot be reached or is lost, or a worker has
        another version of mudrock.
    """
    if address is None:
        yield None
        return
    try:
        import distributed
    except ImportError as error:
        hint = "pip install 'mudrock[cluster]'"
        raise UsageError("--scheduler: Dask is not installed", hint) from error
    for name in list(logging.root.manager.loggerDict):  # long, with tracebacks; here it is a line
        if name.partition(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, RuntimeError) as error:
        reason = describe(error)
        raise UsageError(f"--scheduler {address}: cannot be reached ({reason})", _START) from error
    try:
        _check_versions(client, address)
        yield Cluster(client)
    finally:
        with suppress(Exception):  # Dask's closing now and then trips over itself: nobody's loss
            client.close(timeout=_CONNECT_SECONDS)


def _check_versions(client: "Client", address: str) -> None:
    def ask() -> str:  # defined here, it travels whole: a worker may have no mudrock at all
        try:
            from mudrock_cli import __version__ as found
        except ImportError:
            return "none"
        return found

    try:
        versions = client.run(ask)
    except Exception as error:  # another Python does not even understand the question
        reason = describe(error)
        raise UsageError(f"--scheduler {address}: cannot use its workers ({reason})", _SAME) from (
            error
        )
    for worker, version in versions.items():
        if version != __version__:
            raise _explain_version(worker, version, __version__)
    if not versions:
        typer.echo(f"warning: {address} has no workers yet; waiting for them", err=True)
