"""Lost workers, a lost scheduler, Ctrl-C: nothing is lost with them."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cluster_runs import run_both
from command_runs import ROOT
from distributed import LocalCluster
from drawn_images import draw_noisy_grey
from PIL import Image

from mudrock_cli.commands.cluster import Cluster
from mudrock_cli.deeplab.model import TrainedModel
from mudrock_cli.errors import ExitCode


def kill_one(workers: LocalCluster, when: Callable[[], bool]) -> threading.Thread:
    """Kill a worker, as a crash or a queue's time limit would, once something has happened."""

    def kill() -> None:
        deadline = time.monotonic() + 120
        while not when() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(workers.workers[0].process.pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def test_a_lost_worker_costs_its_tasks_and_nothing_else(
    tmp_path: Path, workers: LocalCluster, tiny_model: TrainedModel
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(8):
        Image.fromarray(draw_noisy_grey((500, 400), number)).save(images / f"{number}.png")
    there = tmp_path / "there"
    killing = kill_one(workers, lambda: any(there.glob("*.tif")))
    run_both(tmp_path, workers.scheduler_address, "segment", images, "--model", tiny_model.path)
    killing.join()


@pytest.mark.usefixtures("bands")
def test_a_lost_worker_costs_its_bands_and_nothing_else(
    tmp_path: Path, workers: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(draw_noisy_grey((600, 200), 1)).save(tmp_path / "large.png")
    given_out: list[int] = []
    submit = Cluster._submit

    def count(self: Cluster, work: Any, part: Any) -> Any:
        given_out.append(1)
        return submit(self, work, part)

    monkeypatch.setattr(Cluster, "_submit", count)
    killing = kill_one(workers, lambda: len(given_out) > 20)
    words = ["groundtruth", tmp_path / "large.png", "--pixel-size", "100nm"]
    run_both(tmp_path, workers.scheduler_address, *words)
    killing.join()
    assert len(given_out) > 40


def test_ctrl_c_leaves_nothing_half_written(
    tmp_path: Path, workers: LocalCluster, tiny_model: TrainedModel
) -> None:
    images, out = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    for number in range(30):
        Image.fromarray(draw_noisy_grey((700, 700), number)).save(images / f"{number:02}.png")
    words = [sys.executable, "-m", "mudrock_cli", "segment", images, "--out", out]
    words += ["--model", tiny_model.path, "--scheduler", workers.scheduler_address]
    with subprocess.Popen(
        words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        deadline = time.monotonic() + 120
        while not list(out.glob("*.tif")) and time.monotonic() < deadline:
            time.sleep(0.01)
        running.send_signal(signal.SIGTERM)  # which Ctrl-C is to a process without a terminal
        _, stderr = running.communicate(timeout=120)
    assert running.returncode == ExitCode.INTERRUPTED, stderr
    assert "mudrock: interrupted; what was finished is kept" in stderr
    assert "Traceback" not in stderr
    deadline = time.monotonic() + 60
    while list(out.glob(".*")) and time.monotonic() < deadline:  # workers end what they began
        time.sleep(0.1)
    assert not list(out.glob(".*"))
    assert 1 <= len(list(out.glob("*.tif"))) < 30


def test_a_lost_scheduler_ends_the_command_in_a_line(tmp_path: Path) -> None:
    images, out = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    for number in range(40):
        Image.fromarray(draw_noisy_grey((500, 500), number)).save(images / f"{number:02}.png")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    address = f"tcp://127.0.0.1:{port}"
    worker = ["worker", address, "--no-nanny", "--nthreads", "1"]
    started = [start_dask("scheduler", "--port", port), start_dask(*worker)]
    words = [sys.executable, "-m", "mudrock_cli", "groundtruth", images, "--out", out]
    words += ["--pixel-size", "50nm", "--scheduler", address]
    try:
        time.sleep(2)  # until the scheduler listens
        with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True) as running:
            deadline = time.monotonic() + 120
            while not list(out.glob("*.tif")) and time.monotonic() < deadline:
                time.sleep(0.01)
            started[0].kill()
            _, stderr = running.communicate(timeout=120)
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert running.returncode == ExitCode.USAGE, stderr
    assert "mudrock: error: the scheduler is lost" in stderr
    assert "Traceback" not in stderr


def start_dask(kind: str, *options: str) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options, "--no-dashboard"]
    none = subprocess.DEVNULL
    return subprocess.Popen(words, cwd=ROOT, stdout=none, stderr=none)
