"""Same input, same output: the same bytes, run after run, and however many threads there are."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from mudrock_cli.deeplab.engine import OpenVinoEngine
from mudrock_cli.deeplab.model import TrainedModel
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.mask import PhaseMask, write_mask
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.types import PixelSize
from mudrock_cli.report.tables import read_tables
from mudrock_cli.segmentation import segment_bands

ROOT = Path(__file__).resolve().parents[2]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


def draw_grey(shape: tuple[int, int] = (190, 230), seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    blocks = rng.choice([20, 100, 140, 230], (shape[0] // 15 + 1, shape[1] // 15 + 1))
    grey = np.kron(blocks, np.ones((15, 15)))[: shape[0], : shape[1]]
    return np.clip(grey + rng.normal(0, 12, shape), 0, 255).astype(np.uint8)


def begin(words: list[str], **environment: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "mudrock_cli", *words]
    settings = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.Popen(
        command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(running: "subprocess.Popen[str]") -> None:
    _, stderr = running.communicate(timeout=300)
    assert running.returncode == 0, stderr


@pytest.fixture
def lines(tmp_path: Path, tiny_model: TrainedModel) -> dict[str, Callable[[Path], list[str]]]:
    images = tmp_path / "images"
    images.mkdir()
    unit = {"unit": "um"}
    # 12 nm, so that segment resamples: products of matrices, which threads could add up anew
    density = (1000 / 12, 1000 / 12)
    tifffile.imwrite(images / "a.tif", draw_grey(), imagej=True, resolution=density, metadata=unit)
    model = ["--model", str(tiny_model.path), "--save", "overlay,confidence,instances"]
    return {
        "segment": lambda out: ["segment", str(images), "--out", str(out), *model],
        "groundtruth": lambda out: ["groundtruth", str(images), "--out", str(out)],
    }


@pytest.mark.parametrize("name", ["segment", "groundtruth"])
def test_runs_and_numbers_of_threads_give_the_same_bytes(
    name: str, lines: dict[str, Callable[[Path], list[str]]], tmp_path: Path
) -> None:
    found = []
    for threads in ("1", "1", "5"):
        out = tmp_path / f"out{len(found)}"
        finish(begin(lines[name](out), **dict.fromkeys(THREADS, threads)))
        found.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert len(found[0]) == (4 if name == "segment" else 1)
    assert found[0] == found[1] == found[2]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors cannot be chosen")
def test_the_number_of_processors_changes_nothing(tmp_path: Path) -> None:
    """The shipped model, whose convolutions OpenVINO divides among its threads."""
    unit, density = {"unit": "um"}, (1000 / 9, 1000 / 9)
    grey = draw_grey((560, 600))
    tifffile.imwrite(tmp_path / "a.tif", grey, imagej=True, resolution=density, metadata=unit)
    processors = sorted(os.sched_getaffinity(0))
    found = []
    for count in sorted({min(count, len(processors)) for count in (1, 2, 4)} | {0}):
        out = tmp_path / f"out{count}"
        words = ["segment", str(tmp_path / "a.tif"), "--out", str(out), "--engine", "openvino"]
        os.sched_setaffinity(0, processors[: max(count, 1)])  # 0: the same as 1, once more
        try:
            finish(begin([*words, "--save", "confidence,instances"]))
        finally:
            os.sched_setaffinity(0, processors)
        found.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert len(found[0]) == 3
    assert all(files == found[0] for files in found)


def test_the_size_of_a_batch_changes_nothing(tiny_model: TrainedModel) -> None:
    micrograph = Micrograph.from_array("a", draw_grey((300, 260)), PixelSize(9.0, "test"))
    engine = OpenVinoEngine(tiny_model)
    found = []
    for batch in (1, 3, 64):
        engine.batch = batch
        bands = list(segment_bands(micrograph, tiny_model.recipe, lambda: engine))
        planes = [[getattr(b, name) for b in bands] for name in ("phases", "confidence")]
        found.append([np.concatenate(plane) for plane in planes])
    assert all(np.array_equal(found[0], other) for other in found[1:])
    assert len(np.unique(found[0][1])) > 20  # nothing is at one of its ends


def read_images(report: Path) -> tuple[set[str], set[str]] | None:
    """Return the images of both tables, or None where they are refused as those of two runs."""
    try:
        tables = read_tables(report)
    except MudrockError as error:
        if "of another run" not in error.message:
            raise
        return None
    return {row["image"] for row in tables.images}, {*tables.instances["image"]}


def test_two_reports_into_one_place_never_mix(tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("two", 2)):
        grey = draw_grey((90, 90), seed)
        phases = np.select([grey < 60, grey > 180], [2, 1], 0).astype(np.uint8)
        mask = PhaseMask.from_array("m", phases, PixelSize(100.0, "test"))
        write_mask(tmp_path / name / f"{name}.tif", mask)
    out = tmp_path / "r.parquet"
    runs = [begin(["stats", str(tmp_path / name), "--out", str(out)]) for name in ("one", "two")]
    for running in runs:
        finish(running)
    found = read_images(out)
    assert found is None or found[0] == found[1]
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"one", "two", "r.parquet", "r.summary.parquet"}
