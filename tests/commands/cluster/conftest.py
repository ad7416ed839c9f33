"""A Dask cluster on this machine, and images for it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_runs import ROOT
from distributed import LocalCluster
from drawn_images import draw_noisy_grey
from PIL import Image

from mudrock_cli.classical import workflow
from mudrock_cli.classical.filters import plan_bands
from mudrock_cli.commands import cluster as cluster_work
from mudrock_cli.measure import components as labelling


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
    monkeypatch.setattr(
        workflow, "plan_bands", lambda shape, halo, align, _: plan_bands(shape, halo, align, 10_000)
    )


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for seed, shape in enumerate([(90, 130), (420, 200), (300, 150)]):
        Image.fromarray(draw_noisy_grey(shape, seed)).save(folder / f"{seed}.png")
    return folder
