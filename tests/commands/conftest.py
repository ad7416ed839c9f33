"""Folders of drawn micrographs and masks, quick trainings, a Dask cluster on this machine."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_runs import ROOT
from distributed import LocalCluster
from drawn_images import draw_grey, draw_noisy_grey, draw_phases, save_mask
from PIL import Image

from mudrock_cli.classical import workflow
from mudrock_cli.commands import cluster as cluster_work
from mudrock_cli.measure import components as labelling


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Three images in two folders."""
    images = tmp_path / "images"
    (images / "deep").mkdir(parents=True)
    for seed, name in enumerate(["a.tif", "b.png", "deep/c.tif"]):
        Image.fromarray(draw_grey(seed=seed)).save(images / name)
    return images


@pytest.fixture
def mask_folder(tmp_path: Path) -> Path:
    """Two masks of different pixel sizes, in two folders."""
    masks = tmp_path / "masks"
    save_mask(masks / "a.tif", draw_phases(0), 500)
    save_mask(masks / "deep" / "b.tif", draw_phases(1), 1000)
    return masks


@pytest.fixture(scope="package")
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
    monkeypatch.setattr(cluster_work, "WHOLE_PIXELS", 1000)
    monkeypatch.setattr(labelling, "_BAND_PIXELS", 8000)
    monkeypatch.setattr(workflow, "_BAND_PIXELS", 10_000)
    monkeypatch.setattr(workflow, "_BAND_HALOS", 0)


@pytest.fixture
def noisy_images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for seed, shape in enumerate([(90, 130), (420, 200), (300, 150)]):
        Image.fromarray(draw_noisy_grey(shape, seed)).save(folder / f"{seed}.png")
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train without a graph, and leave the network compiled for CPUs out of the model."""
    import keras

    from mudrock_cli.deeplab import model as model_folder

    compile_model = keras.Model.compile

    def compile_eager(self: Any, **options: Any) -> None:
        compile_model(self, **options | {"run_eagerly": True, "jit_compile": False})

    monkeypatch.setattr(keras.Model, "compile", compile_eager)
    monkeypatch.setattr(model_folder, "compile_for_cpu", lambda folder, temperature: None)
