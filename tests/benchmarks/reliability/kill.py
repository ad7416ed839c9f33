"""Kill commands at random moments; look at what they leave, run them again, compare the results.

    python tests/benchmarks/reliability/kill.py --kills 50 --commands segment,train

Every run is a fork of a process that has imported all it needs, so that a kill costs a run and no
start. Each is killed with SIGKILL or SIGTERM, in turn, at a moment drawn evenly from the time that
an undisturbed run takes. Then

- every file that has its final name must be, byte for byte, that of the undisturbed run (or the
  file of before): so it is whole; a model must load or have no card;
- the command runs again, to the end, and the folder must be, byte for byte, that of the
  undisturbed run, with no stray file. Of a training the weights are compared number by number,
  and the log but for its times.

A mismatch is printed and makes the exit code 1. `train` learns with run_eagerly and without the
network compiled for CPUs, which would cost a start of TensorFlow for every kill.
"""

import argparse
import contextlib
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from kill_runs import LOG, MODULES, PATIENCE, run, start, wait
from kill_scenarios import SCENARIOS, Content, Scenario, read_files

SIGNALS = (signal.SIGKILL, signal.SIGTERM)
_MOST_TRIES = 4


@dataclass
class Tally:
    """What became of the kills of one signal."""

    kills: int = 0
    midway: int = 0
    finished: int = 0
    finals: int = 0
    strays: int = 0
    moments: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def kill_once(
    scenario: Scenario, folder: Path, expected: Content, stop: signal.Signals, moment: float
) -> tuple[Counter[str], list[str]]:
    """Kill one run, and look at what it leaves; returns counts and faults."""
    out, counts, faults = folder / "out", Counter[str](), list[str]()
    before = lay_out(folder, out)
    LOG.write_text("")
    process = start(scenario.words(folder, out))
    code = wait(process, moment)
    if code is None:
        os.kill(process, stop)
        code = wait(process, PATIENCE)
        counts["midway"] += code != 0
        if code is None:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            faults.append(f"goes on for {PATIENCE} s after {stop.name}")
        elif code not in (0, -stop, 130):
            faults.append(f"ends with {code} after {stop.name}: {LOG.read_text()[-500:]}")
    elif code != 0:
        faults.append(f"ends by itself with {code}: {LOG.read_text()[-500:]}")
    counts["finished"] += code == 0
    counts["strays"] += count_strays(out)
    try:
        scenario.check(out)
    except Exception as error:
        faults.append(f"partial: {error!r}")
    if scenario.read is read_files:
        found = read_files(out)
        counts["finals"] += len(found)
        for name, content in found.items():
            if content not in (expected.get(name), before.get(name)):
                faults.append(f"partial: {name}")
    try:
        run(scenario.words(folder, out))
    except RuntimeError as error:
        faults.append(f"resuming: {error}")
    after = scenario.read(out)
    different = [name for name in {*expected, *after} if expected.get(name) != after.get(name)]
    faults += [f"resumed and different: {name}" for name in sorted(different)]
    faults += [f"{count_strays(out)} stray files after resuming"] * (count_strays(out) > 0)
    return counts, faults


def lay_out(folder: Path, out: Path) -> Content:
    """Empty the output folder but for what is there before every run."""
    shutil.rmtree(out, ignore_errors=True)
    if (folder / "before").is_dir():
        shutil.copytree(folder / "before", out)
    return read_files(out)


def count_strays(out: Path) -> int:
    """Count what has no final name."""
    return sum(path.name.startswith(".") for path in out.rglob("*"))


def kill_command(name: str, kills: int, seed: int) -> dict[str, Tally]:
    """Kill a command at random moments, and tally."""
    scenario = SCENARIOS[name]
    folder = Path(tempfile.mkdtemp(prefix=f"kill-{name}-"))
    scenario.start()
    scenario.prepare(folder)
    out = folder / "out"
    seconds, contents = [], []
    for _ in range(3):  # undisturbed runs are equal, or nothing below means anything
        lay_out(folder, out)
        seconds.append(run(scenario.words(folder, out)))
        contents.append(scenario.read(out))
        for module in MODULES.read_text().splitlines():  # what it has imported, a fork need not
            with contextlib.suppress(Exception):
                importlib.import_module(module)
    if not contents[0] or contents[0] != contents[1] or contents[1] != contents[2]:
        raise AssertionError(f"{name}: undisturbed runs differ")
    dice = random.Random(f"{name} {seed}")
    tallies = {stop.name: Tally() for stop in SIGNALS}
    for number in range(_MOST_TRIES * kills):
        stop = SIGNALS[number % len(SIGNALS)]
        if tallies[stop.name].midway == kills // len(SIGNALS):
            continue  # a run that was through before its moment does not count
        moment = dice.uniform(0.0, min(seconds))
        counts, faults = kill_once(scenario, folder, contents[0], stop, moment)
        tally = tallies[stop.name]
        tally.kills += 1
        tally.moments.append(moment)
        tally.midway += counts["midway"]
        tally.finished += counts["finished"]
        told = "killed" if counts["midway"] else "through (0)" if counts["finished"] else "ended"
        print(f"{name} {stop.name} {told} at {moment:.3f} s", file=sys.stderr, flush=True)
        tally.finals += counts["finals"]
        tally.strays += counts["strays"]
        tally.faults += [f"{name} {stop.name} at {moment:.3f} s: {fault}" for fault in faults]
        for fault in faults:
            print(f"{name} {stop.name} at {moment:.3f} s: {fault}", flush=True)
    shutil.rmtree(folder)
    return tallies


def main() -> int:
    """Kill, and print the tally."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--kills", type=int, default=50, help="of each command, half with each signal"
    )
    parser.add_argument("--commands", default=",".join(SCENARIOS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(
        "command      signal   runs   killed  finals seen  strays left  faults  seconds", flush=True
    )
    faults = 0
    for name in options.commands.split(","):
        began = time.monotonic()
        for stop, tally in kill_command(name, options.kills, options.seed).items():
            faults += len(tally.faults)
            print(
                f"{name:12} {stop:8} {tally.kills:5} {tally.midway:7} {tally.finals:12} "
                f"{tally.strays:12} {len(tally.faults):7} {time.monotonic() - began:8.0f}",
                flush=True,
            )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
