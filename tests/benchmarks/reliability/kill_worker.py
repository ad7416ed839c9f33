"""Kill workers of a Dask cluster at random moments; the command must end with the same bytes.

    python tests/benchmarks/reliability/kill_worker.py --kills 50

A scheduler and two workers run on this machine; one is killed with SIGKILL while `groundtruth`
runs on them, and another takes its place.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from kill_runs import LOG, PATIENCE, ROOT, run, start, wait
from kill_scenarios import read_files, write_images

_PORT = 8797
_ADDRESS = f"tcp://127.0.0.1:{_PORT}"


def begin(*words: str) -> "subprocess.Popen[bytes]":
    """Start a process of the cluster."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", *words]
    with LOG.with_name("cluster").open("ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def begin_worker() -> "subprocess.Popen[bytes]":
    """Start a worker that nobody starts again."""
    return begin("distributed.cli.dask_worker", _ADDRESS, "--nthreads", "1", "--no-nanny")


@contextlib.contextmanager
def cluster() -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Keep a scheduler and two workers; yields the workers."""
    scheduler = begin("distributed.cli.dask_scheduler", "--port", str(_PORT), "--no-dashboard")
    workers = [begin_worker() for _ in range(2)]
    try:
        yield workers
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()


def main() -> int:
    """Kill workers, and print the tally."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder, dice, faults, midway = Path(tempfile.mkdtemp()), random.Random(options.seed), 0, 0
    write_images(folder / "images", 8, 120)
    words = ["groundtruth", str(folder / "images"), "--out", str(folder / "alone")]
    run(words)
    expected = read_files(folder / "alone")
    words[-1] = str(folder / "out")
    words += ["--scheduler", _ADDRESS]
    with cluster() as workers:
        run(words)  # workers have imported what they need
        shutil.rmtree(folder / "out")
        seconds = run(words)
        for _ in range(options.kills):
            shutil.rmtree(folder / "out")
            moment = dice.uniform(0.0, seconds)
            LOG.write_text("")
            process = start(words)
            time.sleep(moment)
            victim = workers.pop(0)
            os.kill(victim.pid, signal.SIGKILL)
            victim.wait()
            ended, status = os.waitpid(process, os.WNOHANG)
            midway += not ended
            code = os.waitstatus_to_exitcode(status) if ended else wait(process, PATIENCE)
            workers.append(begin_worker())
            if code == 0:
                run(words)  # removes what the worker left half-written, and nothing else
            strays = list((folder / "out").rglob(".*"))
            if code != 0 or strays or read_files(folder / "out") != expected:
                faults += 1
                print(f"at {moment:.3f} s: code {code}, {strays}", LOG.read_text()[-500:])
    shutil.rmtree(folder)
    print("killed workers  while running  faults")
    print(f"{options.kills:14} {midway:14} {faults:7}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
