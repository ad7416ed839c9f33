"""What `inspect` tells of micrographs."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from command_runs import run
from PIL import Image

from mudrock_cli.deeplab.model import TrainedModel
from mudrock_cli.errors import ExitCode

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def draw(shape: tuple[int, int] = (400, 600), low: int = 40, high: int = 201) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(low, high, shape).astype(np.uint8)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Micrographs of many kinds; the tiny model was trained for 8 to 12.5 nm per pixel."""
    folder = tmp_path / "images"
    folder.mkdir()
    unit: dict[str, Any] = {"imagej": True, "metadata": {"unit": "um"}}
    tifffile.imwrite(folder / "good.tif", draw(), resolution=(100, 100), **unit)
    tifffile.imwrite(folder / "coarse.tif", draw(), resolution=(1e3 / 30, 1e3 / 30), **unit)
    tifffile.imwrite(folder / "far.tif", draw(), resolution=(1, 1), **unit)
    Image.fromarray(draw(low=90, high=91)).save(folder / "flat.png")
    Image.fromarray(draw()).save(folder / "unsized.png")
    stack = np.stack([draw(), draw(), draw()]).astype(np.uint16)
    tifffile.imwrite(folder / "stack.tif", stack, photometric="minisblack")
    return folder


def inspect(model: TrainedModel, *words: str | Path) -> dict[str, dict[str, Any]]:
    result = run("inspect", *words, "--model", model.path, "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return {Path(line["input"]).name: line for line in lines}


def test_figures_of_every_image(images: Path, tiny_model: TrainedModel) -> None:
    found = inspect(tiny_model, images)
    good = found["good.tif"]
    assert (good["width_px"], good["height_px"], good["bits"], good["pages"]) == (600, 400, 8, 1)
    assert good["pixel_size_nm"] == pytest.approx(10)
    assert good["pixel_size_source"] == "ImageJ unit and XResolution"
    assert (good["field_width_um"], good["field_height_um"]) == (6, 4)
    assert good["silt_grains_that_fit"] == 6
    assert good["data_bar_px"] == 0
    assert (good["grey_low"], good["grey_high"]) == pytest.approx((41, 199), abs=2)
    assert good["contrast"] == pytest.approx(161 / 12**0.5, abs=1)
    assert good["model_suits"] is True
    assert 0 < good["segment_seconds"] < 10
    assert good["warnings"] == []
    stack = found["stack.tif"]
    assert (stack["bits"], stack["pages"]) == (16, 3)
    assert any("the first was taken" in line for line in stack["warnings"])


def test_whether_the_model_suits(images: Path, tiny_model: TrainedModel) -> None:
    found = inspect(tiny_model, images)
    notes = {name: (row["model_suits"], row["model_note"]) for name, row in found.items()}
    assert notes == {
        "good.tif": (True, None),
        "coarse.tif": (False, "coarse"),
        "far.tif": (False, "coarse"),
        "flat.png": (False, "flat"),
        "unsized.png": (None, "size?"),
        "stack.tif": (None, "size?"),
    }
    skipped = {name for name, row in found.items() if row["segment_seconds"] is None}
    assert skipped == {"far.tif", "flat.png"}
    times = {name: row["segment_seconds"] for name, row in found.items()}
    assert times["coarse.tif"] > 8 * times["good.tif"]  # enlarged three times
    told = run("segment", images, "--model", tiny_model.path, "--out", images / "m", "--json")
    failed = {
        Path(line["input"]).name
        for line in map(json.loads, told.stdout.splitlines())
        if line["status"] == "failed"
    }
    assert failed == skipped


def test_the_table_fits_and_tells_the_sum(images: Path, tiny_model: TrainedModel) -> None:
    (images / "broken.tif").write_bytes(b"text")
    result = run("inspect", images, "--model", tiny_model.path)
    assert result.exit_code == ExitCode.SOME_FAILED
    table = result.stdout.split("pixel sizes from")[0].splitlines()
    assert max(map(len, table)) <= 80
    headings = "image pixels bits nm/px µm bar grey grains model time"
    assert " ".join(table[0].split()) == headings
    row = next(line for line in table if line.startswith("stack.tif"))
    assert row.split()[1:4] == ["600×400", "16×3", "?"]
    assert "6 images; segment will take about" in result.stdout
    assert "and skip 2" in result.stdout
    assert "broken.tif" in result.stderr
    assert not list(images.parent.glob("*.parquet"))


def test_pixel_sizes_of_the_command_line_count(images: Path, tiny_model: TrainedModel) -> None:
    table = images / "sizes.csv"
    table.write_text("name,pixel_size_nm\nunsized.png,11\n")
    found = inspect(tiny_model, images, "--pixel-size", table)
    assert found["unsized.png"]["model_suits"] is True
    assert found["unsized.png"]["pixel_size_source"] == "sizes.csv"
    assert found["stack.tif"]["pixel_size_nm"] is None


def test_many_files_take_little_time(tmp_path: Path, tiny_model: TrainedModel) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(200):
        tifffile.imwrite(folder / f"{number}.tif", draw((256, 256)))
    start = time.process_time()
    assert len(inspect(tiny_model, folder)) == 200
    assert time.process_time() - start < 10


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not there")
def test_files_of_microscopes(tiny_model: TrainedModel) -> None:
    found = inspect(tiny_model, DATA / "vendor")
    bars = {name: row["data_bar_px"] for name, row in found.items()}
    assert bars == {
        "fei_nova_134.896nm.tif": 79,
        "hitachi_tm4000.tif": 59,
        "tescan_uint16.tif": 179,
        "zeiss_5.86nm.tif": 69,
    }
    assert found["tescan_uint16.tif"]["pixel_size_nm"] == pytest.approx(4.537772, rel=1e-4)
    assert found["tescan_uint16.tif"]["bits"] == 16
    assert found["zeiss_5.86nm.tif"]["field_width_um"] == pytest.approx(6.0, abs=0.01)
