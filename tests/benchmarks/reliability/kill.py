"""Kill commands at random moments; look at what they leave, run them again, compare the results.

    python tests/benchmarks/reliability/kill.py --kills 50 --tally kills.jsonl

Every run is a fork of a process that has imported all it needs, so that a kill costs a run and no
start. Each is killed with SIGKILL or SIGTERM, in turn, at a moment drawn evenly from the time that
an undisturbed run takes from its first file on; a run that ends before its moment is done again.
Then

- every file that has its final name must be, byte for byte, that of the undisturbed run (or the
  file of before): so it is whole; a model must load or have no card;
- the command runs again, to the end, and the folder must be, byte for byte, that of the
  undisturbed run, with no stray file. Of a training the weights are compared number by number,
  and the log but for its times.

`worker` kills one of two workers of a Dask cluster on which `groundtruth` runs: the command must
end well, with the bytes of one process.

A fault is printed and makes the exit code 1. With --tally a run that was stopped goes on where it
was. `train` learns with run_eagerly and without the network compiled for CPUs, which would cost a
start of TensorFlow for every kill.
"""

import argparse
import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from kill_runs import (
    PATIENCE,
    Kill,
    Tally,
    import_as_before,
    list_names,
    make_table,
    read_log,
    run,
    start,
    time_work,
    wait,
    wait_or_end,
)
from kill_scenarios import SCENARIOS, Content, count_strays, read_files
from kill_worker import killing_workers

SIGNALS = (signal.SIGKILL, signal.SIGTERM)
Killing = Callable[[signal.Signals, float], Kill]
_COMMANDS = (*SCENARIOS, "worker")
_MOST_TRIES = 4


class CommandKills:
    """A command that is killed and runs again."""

    def __init__(self, name: str, folder: Path) -> None:
        self._name, self._folder, self._out = name, folder, folder / "out"
        self._scenario = SCENARIOS[name]
        self._scenario.start()
        self._scenario.prepare(folder)
        self._times: list[float] = []
        contents = []
        for _ in range(3):  # undisturbed runs are equal, or nothing below means anything
            self._lay_out()
            self._times.append(time_work(self._words(), self._out))
            contents.append(self._scenario.read(self._out))
            import_as_before()
        if not contents[0] or contents[0] != contents[1] or contents[1] != contents[2]:
            raise AssertionError(f"{name}: undisturbed runs differ")
        self._expected = contents[0]

    def kill(self, stop: signal.Signals, share: float) -> Kill:
        """Kill a run after a share of the time that its files take, and run it again."""
        kill = Kill(self._name, stop.name, share * min(self._times))
        before = self._lay_out()
        names = list_names(self._out)
        process = start(self._words())
        code = wait(process, PATIENCE, lambda: list_names(self._out) != names)
        if code is None:
            code = wait(process, kill.moment)
        if code is None:
            os.kill(process, stop)
            code = wait_or_end(process)
            kill.midway = code != 0  # else it was through before the signal came
            if code not in (0, -stop, 130):
                kill.faults.append(f"ends with {code} after {stop.name}: {read_log()}")
        elif code != 0:
            kill.faults.append(f"ends by itself with {code}: {read_log()}")
        self._look(kill, before)
        try:
            run(self._words())
        except RuntimeError as error:
            kill.faults.append(f"resuming: {error}")
        kill.left = count_strays(self._out)
        kill.equal = self._scenario.read(self._out) == self._expected
        return kill

    def _look(self, kill: Kill, before: Content) -> None:
        """Look at what a killed run left."""
        kill.strays = count_strays(self._out)
        found = read_files(self._out)
        kill.finals = len(found)
        try:
            self._scenario.check(self._out)
        except Exception as error:
            kill.partial += 1
            kill.faults.append(f"partial: {error!r}")
        if self._scenario.read is read_files:
            for name, content in found.items():
                kill.partial += content not in (self._expected.get(name), before.get(name))

    def _words(self) -> list[str]:
        return self._scenario.words(self._folder, self._out)

    def _lay_out(self) -> Content:
        """Empty the output folder but for what is there before every run."""
        shutil.rmtree(self._out, ignore_errors=True)
        if (self._folder / "before").is_dir():
            shutil.copytree(self._folder / "before", self._out)
        return read_files(self._out)


def kill_often(name: str, kills: int, seed: int, path: Path) -> None:
    """Kill a command at random moments until `kills` have come midway, half with each signal."""
    tally = Tally(path)
    wanted = {stop: kills // 2 + (kills % 2 and stop is SIGNALS[0]) for stop in SIGNALS}
    if all(tally.count_midway(name, stop.name) >= wanted[stop] for stop in SIGNALS):
        return
    with tempfile.TemporaryDirectory(prefix=f"kill-{name}-") as folder, _open(name, folder) as kill:
        for stop in SIGNALS * (_MOST_TRIES * kills):
            done = len(tally.of(name, stop.name))
            if tally.count_midway(name, stop.name) >= wanted[stop] or done >= _MOST_TRIES * kills:
                continue
            share = random.Random(f"{name} {stop.name} {seed} {done}").random()
            found = kill(stop, share)
            _find_faults(found)
            tally.add(found)
            how = "killed" if found.midway else "through"
            told = f"{name} {stop.name} {how} at {found.moment:.3f} s"
            print(told, file=sys.stderr, flush=True)
            for fault in found.faults:
                print(f"{told}: {fault}", flush=True)


def _open(name: str, folder: str) -> contextlib.AbstractContextManager[Killing]:
    """Return what kills one run of a command."""
    if name == "worker":
        return killing_workers(Path(folder))
    return contextlib.nullcontext(CommandKills(name, Path(folder)).kill)


def _find_faults(kill: Kill) -> None:
    if kill.partial:
        kill.faults.append(f"{kill.partial} half-written files")
    if kill.left:
        kill.faults.append(f"{kill.left} strays stay")
    if not kill.equal:
        kill.faults.append("resumed and different")


def main() -> int:
    """Kill, and print the tally."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--kills", type=int, default=50, help="of each command, half with each signal"
    )
    parser.add_argument("--commands", default=",".join(_COMMANDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tally", type=Path, help="file to go on from")
    options = parser.parse_args()
    commands = options.commands.split(",")
    with tempfile.TemporaryDirectory() as folder:
        path = options.tally or Path(folder, "kills.jsonl")
        for name in commands:
            # In a process of its own: what one command has imported is in no other's forks.
            process = multiprocessing.get_context("spawn").Process(
                target=kill_often, args=(name, options.kills, options.seed, path)
            )
            process.start()
            process.join()
            if process.exitcode:
                return 1
        tally = Tally(path)
    print(make_table(tally, commands, [stop.name for stop in SIGNALS]))
    return 1 if any(kill.faults for kill in tally.kills) else 0


if __name__ == "__main__":
    sys.exit(main())
