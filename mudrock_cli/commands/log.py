"""``mudrock --log FILE``: what a bug report needs, a JSON line per event, written as it happens.

Other modules log through ``logging.getLogger("mudrock")`` with ``extra={"facts": {...}}``. Of paths
only file names are written, and of the user and the machine nothing, unless that is asked for.
"""

import getpass
import json
import logging
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import typer

from mudrock_cli import __version__
from mudrock_cli.errors import ExitCode, UsageError

_PACKAGES = (
    "dask distributed imagecodecs jax keras matplotlib numpy opencv-python-headless openvino "
    "pandas pillow pyarrow scikit-image scikit-learn scipy tensorflow tifffile torch typer zarr"
)
_SETTINGS = (
    "CUDA_VISIBLE_DEVICES KERAS_BACKEND LANG MKL_NUM_THREADS OMP_NUM_THREADS ONEDNN_MAX_CPU_ISA "
    "OPENBLAS_NUM_THREADS TF_NUM_INTRAOP_THREADS"
)
_OTHERS = ("tifffile",)  # libraries that log; what they warn of by `warnings` is kept too
_FRAMES = "frames"  # places in code, which hold nothing private
_CODE_ROOTS = ("site-packages/", "dist-packages/", "mudrock_cli/")
_logger = logging.getLogger("mudrock")


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
        places = [f"{_code_place(f.filename)}:{f.lineno} {f.name}" for f in frames]
        chain.append({"type": type(link).__name__, "message": str(link), _FRAMES: places})
        link = link.__cause__ or link.__context__
    first, *causes = chain
    note("error", **first, **({"causes": causes} if causes else {}))


def _code_place(filename: str) -> str:
    """Return where code is, from its package on: where packages lie is nobody's business."""
    path = filename.replace("\\", "/")
    for root in _CODE_ROOTS:
        if root in path:
            inside = path.rpartition(root)[2]
            return f"{root}{inside}" if root == "mudrock_cli/" else inside
    return path.rpartition("/")[2]


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
    try:
        handler = _LineHandler(path, str if with_paths else Censor(words))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"--log {path}: cannot be written ({reason})", "another file") from error
    with _attached(handler):
        note("start", command=list(words), **describe_machine())
        code: int = ExitCode.DONE
        try:
            yield
        except BaseException as error:
            code = _exit_code(error)
            if not isinstance(error, typer.Exit):
                note_error(error)
            raise
        finally:
            note("end", exit_code=code, **_peak_memory())


def _exit_code(error: BaseException) -> int:
    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    usage = isinstance(error, UsageError) or getattr(error, "exit_code", None) == ExitCode.USAGE
    return ExitCode.USAGE if usage else ExitCode.SOME_FAILED


class _LineHandler(logging.Handler):
    """Writes each record as one line of JSON, at once; a full disk ends the log, not the run."""

    def __init__(self, path: Path, censor: Callable[[str | Path], str]) -> None:
        super().__init__(logging.INFO)
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace")
        self._censor = censor
        self._start = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        ours = hasattr(record, "facts")
        line = {
            "t": round(time.monotonic() - self._start, 3),
            "event": record.msg if ours else "warning",
        }
        facts = getattr(record, "facts", {"kind": record.name, "message": record.getMessage()})
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
        return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def _attached(handler: logging.Handler) -> Iterator[None]:
    """Send events and the libraries' warnings to a handler, and leave no trace afterwards."""
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


# Texts without what is private in them: folders, the user's name, the machine's.

# A folder may have blanks in its name, so an absolute path goes on to its last separator before
# a sign that ends it. Better a word too many is lost than a name is printed.
_END = r"\n:\"'<>|*?"
_ABSOLUTE = re.compile(rf"(?<![\w.~])(?:~\w*|[A-Za-z]:)?/(?:[^/{_END}]*/)*")
_RELATIVE = re.compile(rf"(?:[^\s/{_END},;()\[\]{{}}=]+/)+")
_FOLDER_OPTIONS = ("--out", "-o", "--figures")  # which may name what is not there yet
_NOBODY = {"", "root", "localhost", "user", "host"}


class Censor:
    """Leaves of every path its file name, and of user and machine nothing.

    Parameters
    ----------
    words : sequence of str
        The command line, whose folders are known even where their names look like prose.
    """

    def __init__(self, words: Sequence[str]) -> None:
        known = (folder.as_posix().rstrip("/") for folder in _known_folders(words))
        folders = sorted({text for text in known if text not in ("", ".")}, key=len, reverse=True)
        either = "|".join(map(re.escape, folders))
        below = rf"/(?:[^/{_END}]*/)*"
        self._folder = re.compile(rf"(?<![A-Za-z0-9])(?:{either})({below}|(?![A-Za-z0-9]))")
        user = ""
        with suppress(OSError, KeyError, ImportError):  # a user without a name
            user = getpass.getuser()
        node = platform.node()
        names = dict.fromkeys((user, *(home.name for home in _homes())), "user")
        names |= {node: "host", node.partition(".")[0]: "host"}
        self._names = [
            (re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", re.I), instead)
            for name, instead in sorted(names.items(), key=lambda item: -len(item[0]))
            if name.lower() not in _NOBODY
        ]

    def __call__(self, given: str | Path) -> str:
        """Return a text without its private parts."""
        text = str(given)
        if os.sep == "\\":
            text = text.replace("\\", "/")
        text = self._folder.sub(lambda found: "" if found[1] else "FOLDER", text)
        if isinstance(given, Path):
            text = text.rpartition("/")[2]
        else:
            text = _RELATIVE.sub("", _ABSOLUTE.sub("", text))
        for name, instead in self._names:
            text = name.sub(instead, text)
        return text


def _homes() -> list[Path]:
    with suppress(RuntimeError):  # a user without a home
        return [Path.home()]
    return []


def _known_folders(words: Sequence[str]) -> Iterator[Path]:
    """Yield folders that messages may name."""
    yield from (*_homes(), Path(tempfile.gettempdir()))
    with suppress(OSError):  # a folder that was deleted
        yield Path.cwd()
    pairs = list(zip(["", *words], words, strict=False))
    command = next((w for o, w in pairs if not w.startswith("-") and o != "--log"), "")
    for option, word in pairs:
        if word == command:  # there may be a folder of its name
            continue
        path = Path(word.partition("=")[2] if word.startswith("-") else word)
        yield from (*path.parents, *path.absolute().parents)
        with suppress(OSError, ValueError):
            if path.is_dir() or (option in _FOLDER_OPTIONS and not path.suffix):
                yield from (path, path.absolute(), path.resolve())


# The software and the hardware.


def describe_machine() -> dict[str, Any]:
    """Return versions, settings of the environment, and hardware, JSON-able."""
    versions = {}
    for name in _PACKAGES.split():
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    # The cores that this process may use, which a cluster or container may limit.
    affinity = getattr(os, "sched_getaffinity", None)
    cpu = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "mudrock": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": versions,
        "environment": {name: os.environ[name] for name in _SETTINGS.split() if name in os.environ},
        "hardware": {
            "cpu": cpu[1] if cpu else platform.processor(),
            "cores": os.cpu_count(),
            "usable_cores": len(affinity(0)) if affinity else os.cpu_count(),
            "memory_gb": _measure_memory(),
            "gpus": _list_gpus(),
        },
    }


def _measure_memory() -> dict[str, float]:
    """Return gigabytes: of the machine, free, and the container's limit, as far as known."""
    entries = dict(re.findall(r"^(\w+):\s*(\d+) kB", _read("/proc/meminfo"), re.MULTILINE))
    names = {"total": "MemTotal", "free": "MemAvailable"}
    found = {name: int(entries[key]) * 1000 for name, key in names.items() if key in entries}
    limit = _read("/sys/fs/cgroup/memory.max").strip()
    if limit.isdigit():
        found["limit"] = int(limit)
    if not found and sys.platform != "win32":
        found["total"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {name: round(size / 1e9, 1) for name, size in found.items()}


def _list_gpus() -> list[str]:
    """Return name, memory and driver of each NVIDIA GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []


def _peak_memory() -> dict[str, int]:
    try:
        import resource
    except ImportError:  # Windows
        return {}
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_memory_mb": peak * unit // 1_000_000}


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""
