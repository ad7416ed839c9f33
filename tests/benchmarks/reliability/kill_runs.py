"""Run the command line in forks of a process that has imported what it needs."""

import contextlib
import importlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from mudrock_cli import cli  # noqa: E402

PATIENCE = 300
"""Seconds after which a run hangs."""

_FOLDER = tempfile.TemporaryDirectory(prefix="kill-log-")
LOG = Path(_FOLDER.name) / "log"
_MODULES = LOG.with_name("modules")


def start(words: list[str]) -> int:
    """Run the command line in a fork; returns its process."""
    LOG.write_text("")
    process = os.fork()
    if process:
        return process
    code = 99
    try:
        for number in (1, 2):
            os.dup2(os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), number)
        sys.argv = ["mudrock", *words]
        cli.main()
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 98
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        try:  # a signal that comes now raises, and must not let the fork go on as its parent
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            _MODULES.write_text("\n".join(sorted(sys.modules)))
        finally:
            os._exit(code)


def wait(process: int, seconds: float, until: Callable[[], bool] = lambda: False) -> int | None:
    """Return the status of a process that ends in time, None at the end of time or `until`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    return None


def wait_or_end(process: int) -> int | None:
    """Return the status of a process; one that hangs is killed, and has none."""
    code = wait(process, PATIENCE)
    if code is None:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    return code


def run(words: list[str]) -> None:
    """Run the command line to its end.

    Raises
    ------
    RuntimeError
        If it hangs or fails.
    """
    code = wait_or_end(start(words))
    if code != 0:
        raise RuntimeError(f"{' '.join(words)}: exit code {code}\n{read_log()}")


def time_work(words: list[str], out: Path) -> float:
    """Run the command line to its end; return the seconds since its first file."""
    before = list_names(out)
    process = start(words)
    code = wait(process, PATIENCE, lambda: list_names(out) != before)
    began = time.monotonic()
    code = wait_or_end(process) if code is None else code
    if code != 0:
        raise RuntimeError(f"{' '.join(words)}: exit code {code}\n{read_log()}")
    return time.monotonic() - began


def import_as_before() -> None:
    """Import what the last run has imported: later forks need not."""
    for module in _MODULES.read_text().splitlines():
        with contextlib.suppress(Exception):
            importlib.import_module(module)


def list_names(folder: Path) -> set[str]:
    """Return the names of all that is in a folder; empty where there is none."""
    try:
        return {str(path) for path in folder.rglob("*")}
    except FileNotFoundError:  # a folder in it went while it was looked at
        return set()


def read_log() -> str:
    """Return the end of what the last run printed."""
    return LOG.read_text(errors="replace")[-1000:]


@dataclass
class Kill:
    """One run that was to be killed, and the run after it.

    Parameters
    ----------
    command : str
        What was killed.
    signal : str
        With what.
    moment : float
        Seconds after the first file of the run.
    midway : bool
        The signal came before the run had ended; only then the kill counts.
    finals : int
        Files that had their final names then.
    partial : int
        Those among them that were neither the file of before nor that of an undisturbed run.
    strays : int
        Files and folders without a final name that were left.
    left : int
        Those that the next run did not remove.
    equal : bool
        After the next run all was as after an undisturbed one.
    faults : list of str
        What should not have happened.
    """

    command: str
    signal: str
    moment: float
    midway: bool = False
    finals: int = 0
    partial: int = 0
    strays: int = 0
    left: int = 0
    equal: bool = False
    faults: list[str] = field(default_factory=list)


class Tally:
    """All kills, in memory and in a file of a JSON line each."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.kills: list[Kill] = []
        if path.exists():
            lines = path.read_text("utf-8").splitlines()
            self.kills = [Kill(**json.loads(line)) for line in lines]

    def add(self, kill: Kill) -> None:
        """Take in a kill."""
        self.kills.append(kill)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(kill)) + "\n")

    def of(self, command: str, signal: str) -> list[Kill]:
        """Return the kills of one row of the table."""
        return [kill for kill in self.kills if (kill.command, kill.signal) == (command, signal)]

    def count_midway(self, command: str, signal: str) -> int:
        """Count the kills of one row that came before the end of the run."""
        return sum(kill.midway for kill in self.of(command, signal))


_TITLES = (
    *("command", "signal", "runs", "killed midway", "final files seen", "half-written"),
    *("strays left", "not removed", "resumed equal", "faults"),
)


def make_table(tally: Tally, commands: Iterable[str], signals: Iterable[str]) -> str:
    """Return the tally as a table in Markdown; but for the runs, of those killed midway."""
    rows = [_TITLES, ("---",) * len(_TITLES)]
    for command in commands:
        for name in signals:
            runs = tally.of(command, name)
            kills = [kill for kill in runs if kill.midway]
            sums = [sum(getattr(kill, key) for kill in kills) for key in _SUMMED]
            equal = f"{sum(kill.equal for kill in kills)} of {len(kills)}"
            faults = sum(len(kill.faults) for kill in runs)
            rows.append((command, name, *map(str, (len(runs), len(kills), *sums, equal, faults))))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


_SUMMED = ("finals", "partial", "strays", "left")
