"""What became of every kill: kept in a file, from which a run goes on, and put into a table."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path


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
        for signal in signals:
            runs = tally.of(command, signal)
            kills = [kill for kill in runs if kill.midway]
            sums = [sum(getattr(kill, name) for kill in kills) for name in _SUMMED]
            equal = f"{sum(kill.equal for kill in kills)} of {len(kills)}"
            faults = sum(len(kill.faults) for kill in runs)
            rows.append((command, signal, *map(str, (len(runs), len(kills), *sums, equal, faults))))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


_SUMMED = ("finals", "partial", "strays", "left")
