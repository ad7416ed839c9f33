"""The commands on a Dask cluster of this machine: the same bytes, whatever happens to workers."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from distributed import LocalCluster
from PIL import Image
from typer.testing import CliRunner, Result

from mudrock_cli.classical import workflow
from mudrock_cli.classical.bands import plan_bands
from mudrock_cli.cli import app
from mudrock_cli.commands import cluster
from mudrock_cli.commands.engines import share_engine
from mudrock_cli.commands.scheduler import open_cluster
from mudrock_cli.deeplab.zoo import TrainedModel
from mudrock_cli.errors import ExitCode, UsageError
from mudrock_cli.measure import labelling

ROOT = Path(__file__).resolve().parents[2]
Grey = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def workers() -> Iterator[LocalCluster]:
    """Two worker processes of one thread each."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit=0
    ) as started:
        yield started
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture
def bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take everything for a mosaic, and cut it into many bands."""
    monkeypatch.setattr(cluster, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(labelling, "_BAND_PIXELS", 8000)
    monkeypatch.setattr(
        workflow, "plan_bands", lambda shape, halo, align, _: plan_bands(shape, halo, align, 10_000)
    )


def make_grey(shape: tuple[int, int], seed: int) -> Grey:
    rng = np.random.default_rng(seed)
    blocks = rng.choice([20, 110, 130, 150, 230], (shape[0] // 20 + 1, shape[1] // 20 + 1))
    grey = np.kron(blocks, np.ones((20, 20)))[: shape[0], : shape[1]]
    return np.clip(grey + rng.normal(0, 3, shape), 0, 255).astype(np.uint8)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for seed, shape in enumerate([(90, 130), (420, 200), (300, 150)]):
        Image.fromarray(make_grey(shape, seed)).save(folder / f"{seed}.png")
    return folder


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "80"})


def read_all(folder: Path) -> dict[str, bytes]:
    """Return all files but the unfinished one of a killed worker, which the next run removes."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".part"]
    return {path.name: path.read_bytes() for path in files}


def run_both(out: Path, address: str, *words: object) -> tuple[Result, Result]:
    """Run a command here and on the cluster; the files must be the same."""
    here = run(*words, "--out", out / "here" / "r.parquet" if words[0] == "stats" else out / "here")
    there = run(
        *words,
        "--out",
        out / "there" / "r.parquet" if words[0] == "stats" else out / "there",
        "--scheduler",
        address,
    )
    assert here.exit_code == there.exit_code, there.output
    files = read_all(out / "here")
    assert files
    assert read_all(out / "there") == files
    return here, there


def lines(result: Result, *without: str) -> dict[str, dict[str, Any]]:
    """Return the JSON lines by input; on a cluster they come as images are done."""
    found = [json.loads(line) for line in result.stdout.splitlines()]
    left_out = {"seconds", "mask", *without}
    return {line["input"]: {key: line[key] for key in line.keys() - left_out} for line in found}


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


@pytest.mark.usefixtures("bands")
def test_segment_mosaics(
    images: Path, tmp_path: Path, workers: LocalCluster, tiny_model: TrainedModel
) -> None:
    words = ["segment", images, "--model", tiny_model.path, "--pixel-size", "8nm", "--json"]
    words += ["--save", "confidence,instances"]
    here, there = run_both(tmp_path, workers.scheduler_address, *words)
    assert lines(here) == lines(there)


@pytest.mark.usefixtures("bands")
def test_label_and_measure_mosaics(images: Path, tmp_path: Path, workers: LocalCluster) -> None:
    words = ["groundtruth", images, "--pixel-size", "100nm", "--band", "--save", "overlay"]
    here, there = run_both(tmp_path / "masks", workers.scheduler_address, *words, "--json")
    assert lines(here) == lines(there)
    words = ["stats", tmp_path / "masks" / "here", "--micrographs", images, "--min-silt", "5um"]
    here, there = run_both(tmp_path / "tables", workers.scheduler_address, *words)
    assert here.stdout.splitlines()[:-2] == there.stdout.splitlines()[:-2]


def test_images_are_tasks_and_one_that_fails_is_a_line(
    images: Path, tmp_path: Path, workers: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = (images / "1.png").read_bytes()
    (images / "cut.png").write_bytes(whole[: len(whole) // 2])  # only decoding finds it
    (images / "text.png").write_text("this is no image", "utf-8")
    words = ["groundtruth", "images", "--pixel-size", "100nm", "--json"]
    here, there = run_both(Path("masks"), workers.scheduler_address, *words)
    assert here.exit_code == ExitCode.SOME_FAILED
    assert lines(here, "error", "warnings") == lines(there, "error", "warnings")
    errors = [line for line in there.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert "Traceback" not in there.stderr
    words = ["stats", Path("masks") / "here", "--micrographs", "images"]
    run_both(Path("tables"), workers.scheduler_address, *words)


def test_a_lost_worker_costs_its_tasks_and_nothing_else(
    tmp_path: Path, workers: LocalCluster, tiny_model: TrainedModel
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(8):
        Image.fromarray(make_grey((500, 400), number)).save(images / f"{number}.png")
    there = tmp_path / "there"
    killing = kill_one(workers, lambda: any(there.glob("*.tif")))
    run_both(tmp_path, workers.scheduler_address, "segment", images, "--model", tiny_model.path)
    killing.join()


@pytest.mark.usefixtures("bands")
def test_a_lost_worker_costs_its_bands_and_nothing_else(
    tmp_path: Path, workers: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(make_grey((600, 200), 1)).save(tmp_path / "large.png")
    given_out: list[int] = []
    submit = cluster.Cluster._submit

    def count(self: cluster.Cluster, work: Any, part: Any) -> Any:
        given_out.append(1)
        return submit(self, work, part)

    monkeypatch.setattr(cluster.Cluster, "_submit", count)
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
        Image.fromarray(make_grey((700, 700), number)).save(images / f"{number:02}.png")
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


def test_a_worker_that_sees_no_files_or_has_another_version_is_told(
    images: Path, tmp_path: Path, workers: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["groundtruth", images, "--pixel-size", "100nm", "--out", tmp_path / "m"]
    words += ["--scheduler", workers.scheduler_address]
    with monkeypatch.context() as patch:
        patch.setattr("mudrock_cli.commands.cluster._exists", lambda path: False)
        result = run(*words)
    assert result.exit_code == ExitCode.USAGE
    assert "does not see it" in result.stderr
    with monkeypatch.context() as patch:
        patch.setattr("mudrock_cli.commands.scheduler.__version__", "9.9")
        result = run(*words)
    assert result.exit_code == ExitCode.USAGE
    assert "has mudrock 0" in result.stderr
    with monkeypatch.context() as patch:
        patch.setattr("mudrock_cli.commands.cluster.__version__", "9.9")  # seen by tasks only
        result = run(*words)
    assert result.exit_code == ExitCode.USAGE
    assert "not 9.9" in result.stderr
    assert not list((tmp_path / "m").iterdir())


def test_workers_take_the_model_that_was_asked_for_or_none(
    workers: LocalCluster, tiny_model: TrainedModel
) -> None:
    def start(model: Path | str, digest: str) -> Callable[[int], int]:
        return lambda part: id(share_engine(str(model), digest, "openvino"))

    with open_cluster(workers.scheduler_address) as there:
        assert there is not None
        found = list(there.spread(start(tiny_model.path, tiny_model.digest), range(6)))
        assert len(set(found)) <= 2  # one in each process
        with pytest.raises(UsageError, match="another model than where the command runs"):
            list(there.spread(start(tiny_model.path, "0" * 64), [0]))
        with pytest.raises(UsageError, match="no model of this name"):
            list(there.spread(start("nowhere", "0" * 64), [0]))


def test_few_parts_are_under_way_at_a_time(workers: LocalCluster) -> None:
    given_out: list[int] = []

    def parts() -> Iterator[int]:
        for number in range(60):
            given_out.append(number)
            yield number

    with open_cluster(workers.scheduler_address) as there:
        assert there is not None
        for taken, square in enumerate(there.spread(lambda number: number**2, parts())):
            assert square == taken**2
            assert len(given_out) <= taken + 16


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{}", "nonsense", "http://127.0.0.1:{}"])
def test_no_scheduler_is_said_at_once(images: Path, tmp_path: Path, address: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = time.monotonic()
    words = ["stats", images, "--out", tmp_path / "r.parquet", "--scheduler", address.format(port)]
    result = run(*words)
    assert result.exit_code == ExitCode.USAGE
    assert "cannot be reached" in result.stderr
    assert "hint: start one: dask scheduler" in result.stderr
    assert time.monotonic() - start < 20


def test_without_dask_it_says_what_to_install(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = run("stats", images, "--out", tmp_path / "r.parquet", "--scheduler", "tcp://x:1")
    assert result.exit_code == ExitCode.USAGE
    assert "hint: pip install 'mudrock[cluster]'" in result.stderr


def test_a_lost_scheduler_ends_the_command_in_a_line(tmp_path: Path) -> None:
    images, out = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    for number in range(40):
        Image.fromarray(make_grey((500, 500), number)).save(images / f"{number:02}.png")
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
