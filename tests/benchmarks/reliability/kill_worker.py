"""A Dask cluster of this machine whose workers are killed; the command must end as if alone."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from kill_runs import (
    LOG,
    PATIENCE,
    ROOT,
    Kill,
    list_names,
    read_log,
    run,
    start,
    time_work,
    wait,
    wait_or_end,
)
from kill_scenarios import Content, count_strays, read_files, write_images

_PORT = 8797
_ADDRESS = f"tcp://127.0.0.1:{_PORT}"
Workers = list["subprocess.Popen[bytes]"]


class WorkerKills:
    """`groundtruth` on a cluster; one of its workers is killed, another takes its place."""

    def __init__(self, folder: Path, workers: Workers) -> None:
        self._out, self._workers = folder / "out", workers
        write_images(folder / "images", 8, 120)
        words = ["groundtruth", str(folder / "images"), "--out"]
        run([*words, str(folder / "alone")])
        self._expected: Content = read_files(folder / "alone")
        self._words = [*words, str(self._out), "--scheduler", _ADDRESS]
        self._times = [self._time() for _ in range(3)]  # workers import what they need

    def _time(self) -> float:
        shutil.rmtree(self._out, ignore_errors=True)
        return time_work(self._words, self._out)

    def kill(self, stop: signal.Signals, share: float) -> Kill:
        """Kill one worker after a share of the time that files take; look at what comes of it."""
        shutil.rmtree(self._out, ignore_errors=True)
        kill = Kill("worker", stop.name, share * min(self._times))
        before = list_names(self._out)
        process = start(self._words)
        code = wait(process, PATIENCE, lambda: list_names(self._out) != before)
        if code is None:
            code = wait(process, kill.moment)
        kill.midway = code is None
        victim = self._workers.pop(0)
        victim.send_signal(stop)
        if kill.midway:
            code = wait_or_end(process)
        victim.wait(PATIENCE)
        self._workers.append(_begin_worker())
        if code != 0:
            kill.faults.append(f"ends with {code}: {read_log()}")
        found = read_files(self._out)
        kill.finals = len(found)
        kill.partial = sum(data != self._expected.get(name) for name, data in found.items())
        kill.strays = count_strays(self._out)
        run(self._words)  # removes what the worker left half-written, and nothing else
        kill.left = count_strays(self._out)
        kill.equal = found == self._expected == read_files(self._out)
        return kill


@contextlib.contextmanager
def killing_workers(folder: Path) -> Iterator[Callable[[signal.Signals, float], Kill]]:
    """Keep a scheduler and two workers; yields what kills one of them during a run."""
    scheduler = _begin("distributed.cli.dask_scheduler", "--port", str(_PORT), "--no-dashboard")
    workers = [_begin_worker() for _ in range(2)]
    try:
        yield WorkerKills(folder, workers).kill
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()


def _begin(*words: str) -> "subprocess.Popen[bytes]":
    """Start a process of the cluster."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", *words]
    with LOG.with_name("cluster").open("ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def _begin_worker() -> "subprocess.Popen[bytes]":
    """Start a worker that nobody starts again."""
    return _begin("distributed.cli.dask_worker", _ADDRESS, "--nthreads", "1", "--no-nanny")
