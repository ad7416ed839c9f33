"""``mudrock --log FILE``: what a bug report needs, a JSON line per event, written as it happens.

Other rooms log through ``logging.getLogger("mudrock")`` with ``extra={"facts": {...}}``.
"""

import json
import logging
import math
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from mudrock_cli.errors import ExitCode, UsageError

_logger = logging.getLogger("mudrock")
_OTHERS = ("tifffile",)  # libraries that log; what they warn of by `warnings` is kept too
_FRAMES = "frames"  # places in code, which hold nothing private
_CODE_ROOTS = ("site-packages/", "dist-packages/", "mudrock_cli/")


def note(event: str, /, **facts: Any) -> None:
    """Write an event, if a log is kept; facts are numbers, texts, paths, lists and mappings."""
    _logger.info(event, extra={"facts": facts})


def note_error(error: BaseException) -> None:
    """Write an error with its traceback and its causes, if a log is kept."""
    if not _logger.isEnabledFor(logging.INFO):
        return
    chain: list[dict[str, Any]] = []
    link: BaseException | None = error
    while link is not None:
        frames = traceback.extract_tb(link.__traceback__)
        chain.append(
            {
                "type": type(link).__name__,
                "message": str(link),
                _FRAMES: [f"{_code_place(f.filename)}:{f.lineno} {f.name}" for f in frames],
            }
        )
        link = link.__cause__ or link.__context__
    first, *causes = chain
    note("error", **first, **({"causes": causes} if causes else {}))


@contextmanager
def keeping_log(path: Path | None, words: Sequence[str], *, with_paths: bool) -> Iterator[None]:
    """Keep a log while a command runs.

    Parameters
    ----------
    path : Path or None
        Where; what the file holds already stays. None keeps no log.
    words : sequence of str
        The command line.
    with_paths : bool
        Leave folders, user and machine in; else only file names are written.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    if path is None:
        yield
        return
    from mudrock_cli.commands.log.machine import describe_machine
    from mudrock_cli.commands.log.privacy import Censor

    try:
        handler = _LineHandler(path, str if with_paths else Censor(words))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"--log {path}: cannot be written ({reason})", "another file") from error
    with _attached(handler):
        note("start", command=list(words), **describe_machine())
        code: int | None = None
        try:
            yield
            code = ExitCode.DONE
        except BaseException as error:
            code = _exit_code(error)
            if not isinstance(error, typer.Exit):
                note_error(error)
            raise
        finally:
            note("end", exit_code=code, **_peak_memory())


class _LineHandler(logging.Handler):
    """Writes each record as one line of JSON, at once; a full disk ends the log, not the run."""

    def __init__(self, path: Path, censor: Callable[[str | Path], str]) -> None:
        super().__init__(logging.INFO)
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace")
        self._censor = censor
        self._start = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        facts: Mapping[str, Any] = getattr(record, "facts", {})
        if not hasattr(record, "facts"):  # of a library
            facts = {"kind": record.name, "message": record.getMessage()}
        event = record.msg if hasattr(record, "facts") else "warning"
        line = {"t": round(time.monotonic() - self._start, 3), "event": event}
        text = json.dumps(line | self._clean(facts), ensure_ascii=False, default=str)
        if self._file.closed:
            return
        try:
            self._file.write(text + "\n")
            self._file.flush()
        except OSError as error:
            typer.echo(f"warning: the log ends here: {error.strerror or error}", err=True)
            self.close()

    def close(self) -> None:
        try:
            self._file.close()
        except OSError:  # what is buffered does not fit on the disk; the second close succeeds
            self._file.close()
        super().close()

    def _clean(self, value: Any) -> Any:
        """Return a value as JSON takes it, texts censored."""
        if isinstance(value, str | Path):
            return self._censor(value)
        if isinstance(value, Mapping):
            return {
                str(key): item if key == _FRAMES else self._clean(item)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean(item) for item in value]
        if hasattr(value, "tolist"):  # NumPy's
            return self._clean(value.tolist())
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return value


@contextmanager
def _attached(handler: logging.Handler) -> Iterator[None]:
    """Send events and the libraries' warnings to a handler, and leave no trace afterwards."""
    import warnings

    shown = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
        note("warning", kind=category.__name__, message=str(message))
        shown(message, category, *rest, **named)

    loggers = [_logger, *map(logging.getLogger, _OTHERS)]
    before = _logger.level, _logger.propagate
    _logger.setLevel(logging.INFO)
    _logger.propagate = False
    warnings.showwarning = show
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        warnings.showwarning = shown
        for logger in loggers:
            logger.removeHandler(handler)
        _logger.setLevel(before[0])
        _logger.propagate = before[1]
        handler.close()


def _exit_code(error: BaseException) -> int:
    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    usage = isinstance(error, UsageError) or getattr(error, "exit_code", None) == ExitCode.USAGE
    return ExitCode.USAGE if usage else ExitCode.SOME_FAILED


def _code_place(filename: str) -> str:
    """Return where code is, from its package on: where packages lie is nobody's business."""
    path = filename.replace("\\", "/")
    for root in _CODE_ROOTS:
        if root in path:
            inside = path.rpartition(root)[2]
            return f"{root}{inside}" if root == "mudrock_cli/" else inside
    return path.rpartition("/")[2]


def _peak_memory() -> dict[str, int]:
    try:
        import resource
    except ImportError:  # Windows
        return {}
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_memory_mb": peak * unit // 1_000_000}
