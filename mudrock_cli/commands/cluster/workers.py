"""``--scheduler``: the work of a command on the workers of a Dask cluster.

Nothing here knows what the work is. Small images travel as names of files, and workers read and
write them on the file system that all machines share; of a mosaic the bands travel, and this
process puts together what comes back. Dask gives the tasks of a lost worker to another one.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from mudrock_cli import __version__
from mudrock_cli.errors import MudrockError, UsageError

if TYPE_CHECKING:
    from distributed import Client, Future

    from mudrock_cli.image.inputs import Input

Part = TypeVar("Part")
Result = TypeVar("Result")
Taken = TypeVar("Taken")

WHOLE_PIXELS = 1 << 26
"""An image up to this size is one task; of a larger one the bands are."""

_FEWEST_AHEAD = 16  # tasks given out before the first result is taken in
_REFRESH = 5.0  # seconds between two looks at how many workers there are
_TASKS_PER_THREAD = 2  # of a mosaic: more balance better, and compute more seams twice
SAME = "install the same versions of mudrock and Python everywhere"
"""What to do about workers that do not understand."""


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

    def spread(self, work: Callable[[Part], Result], parts: Iterable[Part], /) -> Iterator[Result]:
        """Do the work on all parts, and yield the results in order; a `Spread`.

        Few parts are under way at a time, so that memory does not grow with their number.
        """
        return self._in_order(work, parts, _take)

    def attempt(
        self, work: Callable[[Part], Result], parts: Iterable[Part]
    ) -> Iterator[Result | MudrockError]:
        """Do the work on all parts, and yield results or failures in order."""
        return self._in_order(work, parts, _attempt)

    def as_completed(
        self, work: Callable[[Part], Result], parts: Iterable[Part]
    ) -> Iterator[tuple[Part, Result | MudrockError]]:
        """Do the work on all parts; yield each with its result, or its failure, as it is done."""
        from distributed import as_completed

        finished = as_completed(loop=self._client.loop)
        running: dict[Future, Part] = {}
        try:
            for part in parts:
                future = self._submit(work, part)
                running[future] = part
                finished.add(future)
                while len(running) >= self._ahead():
                    future = next(finished)
                    yield running.pop(future), _attempt(future)
            for future in finished:
                yield running.pop(future), _attempt(future)
        finally:
            self._cancel(running)

    def ask(self, question: Callable[[Part], Result], part: Part) -> dict[str, Result]:
        """Return what every worker that is there answers, by its address.

        A worker that is lost meanwhile answers nothing: others do its work.
        """
        with _noticing_loss():
            answers: dict[str, Result] = self._client.run(question, part, on_error="ignore")
        return answers

    def _in_order(
        self,
        work: Callable[[Part], Result],
        parts: Iterable[Part],
        take: "Callable[[Future], Taken]",
    ) -> Iterator[Taken]:
        """Yield what `take` makes of each task; some are ahead of the one that is waited for."""
        waiting: deque[Future] = deque()
        try:
            for part in parts:
                waiting.append(self._submit(work, part))
                if len(waiting) >= self._ahead():
                    yield take(waiting.popleft())
            while waiting:
                yield take(waiting.popleft())
        finally:  # also after Ctrl-C, or where the results are no longer wanted
            self._cancel(waiting)

    def _submit(self, work: Callable[[Part], Result], part: Part) -> "Future":
        with _noticing_loss():
            return self._client.submit(_perform, __version__, work, part, pure=False)

    def _ahead(self) -> int:
        return max(_FEWEST_AHEAD, 3 * self.threads)

    def _cancel(self, futures: Iterable["Future"]) -> None:
        unfinished = list(futures)
        if unfinished and self._client.status == "running":
            self._client.cancel(unfinished, force=True)


def fits_a_task(item: "Input", max_pixels: int, *, masks: bool = False) -> bool:
    """Tell whether an image is done by one worker; one that cannot be opened is done here."""
    from mudrock_cli.image.micrograph import open_samples

    try:
        rows, columns = open_samples(item.path, max_pixels, bombs=masks).shape
    except MudrockError:
        return False
    return rows * columns <= WHOLE_PIXELS


def explain_version(worker: str, version: str, wanted: str) -> UsageError:
    """Return what to say of a worker with another version of mudrock."""
    return UsageError(f"the worker {worker} has mudrock {version}, not {wanted}", SAME)


def _perform(version: str, work: Callable[[Part], Result], part: Part) -> Result:
    """Do a part, on a worker that may have come after the versions were compared."""
    if version != __version__:
        from distributed import get_worker

        raise explain_version(get_worker().address, __version__, version)
    return work(part)


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


def _attempt(future: "Future") -> Any:
    """Return the result of a task, or why it has none, where that concerns this task alone."""
    try:
        return _take(future)
    except UsageError:
        raise
    except MudrockError as error:
        return error
