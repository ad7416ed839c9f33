"""Work on a Dask cluster: the same bytes as in one process, and the same lines."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_runs import run_both
from distributed import LocalCluster
from typer.testing import Result

from mudrock_cli.commands.cluster import open_cluster
from mudrock_cli.deeplab.model import TrainedModel
from mudrock_cli.errors import ExitCode, UsageError
from mudrock_cli.segmentation import share_engine


def lines(result: Result, *without: str) -> dict[str, dict[str, Any]]:
    """Return the JSON lines by input; on a cluster they come as images are done."""
    found = [json.loads(line) for line in result.stdout.splitlines()]
    left_out = {"seconds", "mask", *without}
    return {line["input"]: {key: line[key] for key in line.keys() - left_out} for line in found}


def told(result: Result) -> list[str]:
    """Return the lines about images that failed; on a cluster they come as images are done."""
    return sorted(line for line in result.stderr.splitlines() if line.startswith("error: "))


@pytest.mark.usefixtures("bands")
def test_segment_mosaics(
    noisy_images: Path, tmp_path: Path, workers: LocalCluster, tiny_model: TrainedModel
) -> None:
    words = ["segment", noisy_images, "--model", tiny_model.path, "--pixel-size", "8nm", "--json"]
    words += ["--save", "confidence,instances"]
    here, there = run_both(tmp_path, workers.scheduler_address, *words)
    assert lines(here) == lines(there)


@pytest.mark.usefixtures("bands")
@pytest.mark.parametrize("size", ["100nm", "20nm"])  # too coarse for pores; enlarged first
def test_label_and_measure_mosaics(
    noisy_images: Path, tmp_path: Path, workers: LocalCluster, size: str
) -> None:
    words = ["groundtruth", noisy_images, "--pixel-size", size, "--band", "--save", "overlay"]
    here, there = run_both(tmp_path / "masks", workers.scheduler_address, *words, "--json")
    assert lines(here) == lines(there)
    words = [
        "stats",
        tmp_path / "masks" / "here",
        "--micrographs",
        noisy_images,
        "--min-silt",
        "5um",
        "--split",
    ]
    here, there = run_both(tmp_path / "tables", workers.scheduler_address, *words)
    assert here.stdout.splitlines()[:-2] == there.stdout.splitlines()[:-2]


def test_images_are_tasks_and_one_that_fails_is_a_line(
    noisy_images: Path, tmp_path: Path, workers: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = (noisy_images / "1.png").read_bytes()
    (noisy_images / "cut.png").write_bytes(whole[: len(whole) // 2])  # only decoding finds it
    (noisy_images / "text.png").write_text("this is no image", "utf-8")
    words = ["groundtruth", "images", "--pixel-size", "100nm", "--json"]
    here, there = run_both(Path("masks"), workers.scheduler_address, *words)
    assert here.exit_code == ExitCode.SOME_FAILED
    assert lines(here) == lines(there)
    assert told(here) == told(there)
    assert len(told(there)) == 2
    assert all(line.startswith("error: images/") for line in told(there))
    assert "Traceback" not in there.stderr
    (tmp_path / "masks" / "here" / "text.tif").write_text("this is no mask", "utf-8")
    words = ["stats", Path("masks") / "here", "--micrographs", "images"]
    here, there = run_both(Path("tables"), workers.scheduler_address, *words)
    assert told(here) == told(there)


@pytest.mark.usefixtures("bands")
def test_paths_stand_in_messages_as_they_were_typed(
    noisy_images: Path, tmp_path: Path, workers: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(noisy_images)
    whole = Path("1.png").read_bytes()
    Path("cut.png").write_bytes(whole[: len(whole) // 2])
    words = ["groundtruth", "cut.png", "../images/0.png", "--pixel-size", "200nm", "--json"]
    here, there = run_both(Path("../masks"), workers.scheduler_address, *words)
    assert lines(here) == lines(there)
    assert told(here) == told(there)
    assert [line.partition(": ")[2][:9] for line in told(there)] == ["cut.png: "]
    warnings = lines(there)["../images/0.png"]["warnings"]
    assert warnings
    assert all(text.startswith("../images/0.png: ") for text in warnings)


def test_workers_take_the_model_that_was_asked_for_or_none(
    workers: LocalCluster, tiny_model: TrainedModel
) -> None:
    def start(model: Path | str, digest: str) -> Callable[[int], int]:
        return lambda part: id(share_engine(str(model), digest, "openvino"))

    with open_cluster(workers.scheduler_address) as there:
        assert there is not None
        found = list(there.map(start(tiny_model.path, tiny_model.digest), range(6)))
        assert len(set(found)) <= 2  # one in each process
        with pytest.raises(UsageError, match="another model than where the command runs"):
            list(there.map(start(tiny_model.path, "0" * 64), [0]))
        with pytest.raises(UsageError, match="no model of this name"):
            list(there.map(start("nowhere", "0" * 64), [0]))


def test_few_parts_are_under_way_at_a_time(workers: LocalCluster) -> None:
    given_out: list[int] = []

    def parts() -> Iterator[int]:
        for number in range(60):
            given_out.append(number)
            yield number

    with open_cluster(workers.scheduler_address) as there:
        assert there is not None
        for taken, square in enumerate(there.map(lambda number: number**2, parts())):
            assert square == taken**2
            assert len(given_out) <= taken + 16
