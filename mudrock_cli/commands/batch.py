"""Inputs to outputs: every input is worked on, here or on a cluster; a failure stops no other."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby, tee
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from mudrock_cli.commands.cluster import Cluster, as_typed, error_as_typed
from mudrock_cli.commands.console import Console
from mudrock_cli.errors import MudrockError, UsageError

if TYPE_CHECKING:
    from mudrock_cli.files import Input
    from mudrock_cli.image.types import Map

Result = TypeVar("Result")

_CV_NO_MEMORY = -4  # OpenCV's code of an error that is no `MemoryError`


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What work on an input calls.

    Parameters
    ----------
    advance : callable
        ``advance(done, total)`` moves the input's progress bar.
    warn : callable
        ``warn(kind, message)`` prints a line; of many of one kind only the first in full.
    cluster : Cluster or None
        Does the bands of a large image.
    """

    advance: Callable[[int, int], None] = lambda done, total: None
    warn: Callable[[str, str], None] = lambda kind, message: None
    cluster: Cluster | None = None

    @property
    def mapper(self) -> "Map":
        """Does the bands of a large image, here or on a cluster."""
        return self.cluster.map if self.cluster else map


_QUIET = Hooks()


@dataclass(frozen=True)
class Done(Generic[Result]):
    """What became of one input.

    Parameters
    ----------
    item : Input
        The input.
    result : object or None
        What the work returned.
    error : MudrockError or None
        Why it failed.
    seconds : float
        How long it took.
    warnings : list of (str, str)
        Kind and message of each.
    """

    item: "Input"
    result: Result | None
    error: MudrockError | None
    seconds: float
    warnings: list[tuple[str, str]] = field(default_factory=list)


Work = Callable[["Input", Hooks], Result]


def run_all(
    inputs: Iterable["Input"],
    work: Work[Result],
    console: Console,
    *,
    cluster: Cluster | None = None,
    work_there: Work[Result] | None = None,
    is_task: Callable[["Input"], bool] = lambda item: True,
    places: Callable[["Input"], list[Path]] = lambda item: [],
) -> Iterator[Done[Result]]:
    """Yield what becomes of each input, in order.

    Parameters
    ----------
    inputs : iterable of Input
        The inputs.
    work : callable
        ``work(item, hooks)`` returns a result, or raises `MudrockError` where the input is at
        fault and `UsageError` where all are.
    console : Console
        Shows how far it is, and warnings.
    cluster : Cluster, optional
        Does small inputs as tasks, and the bands of others.
    work_there : callable, optional
        The same work for a worker, which runs in another folder: its paths are absolute. A
        `functools.partial` of a function of a module, so that it travels.
    is_task : callable
        Tells whether an input is a task; called with a cluster only.
    places : callable
        Paths, as the user typed them, that the work on an input may speak of.
    """
    for as_tasks, items in groupby(inputs, lambda item: cluster is not None and is_task(item)):
        if cluster and as_tasks:
            given, travelling = tee(items)
            parts = (replace(item, path=item.path.absolute()) for item in travelling)
            found = cluster.attempt(partial(_run_one, work_there or work), parts)
            for item, done in zip(given, found, strict=True):
                if isinstance(done, MudrockError):  # the task itself died
                    error = MudrockError(f"{item.path}: {done.message}", done.hint)
                    yield Done(item, None, error, 0.0)
                    continue
                done = _as_typed(replace(done, item=item), places(item))
                for kind, message in done.warnings:
                    console.warn(kind, message)
                yield done
            continue
        for item in items:
            with console.image(item.path.name) as advance:
                hooks = Hooks(advance=advance, warn=console.warn, cluster=cluster)
                done = _run_one(work, item, hooks)
            yield _as_typed(done, places(item)) if cluster else done


def _run_one(work: Work[Result], item: "Input", hooks: Hooks = _QUIET) -> Done[Result]:
    """Work on one input, in whichever process; warnings are kept, too."""
    start, warnings = time.monotonic(), list[tuple[str, str]]()

    def warn(kind: str, message: str) -> None:
        warnings.append((kind, message))
        hooks.warn(kind, message)

    result, known = None, None
    try:
        item.check_name()
        result = work(item, replace(hooks, warn=warn))
    except UsageError:  # concerns the whole command, not this input
        raise
    except MudrockError as error:
        known = error
    except MemoryError as error:
        known = MudrockError(f"{item.path}: not enough memory", "close other programs")
        known.__cause__ = error
    except OSError as error:
        reason = error.strerror or error
        known = MudrockError(f"{item.path}: {reason}", "check the disk and its permissions")
        known.__cause__ = error
    except Exception as error:
        if (type(error).__module__, getattr(error, "code", 0)) != ("cv2", _CV_NO_MEMORY):
            raise
        known = MudrockError(f"{item.path}: not enough memory", "close other programs")
        known.__cause__ = error
    return Done(item, result, known, time.monotonic() - start, warnings)


def _as_typed(done: Done[Result], places: Sequence[Path]) -> Done[Result]:
    error = done.error and error_as_typed(done.error, places)
    warnings = [(kind, as_typed(message, places)) for kind, message in done.warnings]
    return replace(done, error=error, warnings=warnings)


def prepare_folders(out: Path, inputs: Sequence["Input"]) -> None:
    """Check that files can be written, and remove what killed runs left where they will be.

    Raises
    ------
    UsageError
        If `out` is not a folder that can be written.
    """
    from mudrock_cli.files import check_writable, remove_leftovers

    check_writable(out)
    for folder in {(out / item.relative).parent for item in inputs}:
        remove_leftovers(folder)
