"""Every format is read back by its own reader and gives the pixels again."""

import contextlib
import csv
import io
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import roifile
import shapely
import tifffile
from matplotlib.path import Path as Outline
from PIL import Image
from typer.testing import CliRunner, Result

from mudrock_cli.cli import app
from mudrock_cli.image.mask import PhaseMask, open_mask, write_mask
from mudrock_cli.image.types import PixelSize
from mudrock_cli.measure.components import label_mask


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Two noisy masks, full of holes and of parts that hang together by a corner."""
    rng = np.random.default_rng(0)
    for folder, shape in (("a", (60, 90)), ("b", (45, 40))):
        phases = rng.choice(np.array([0, 1, 2, 255], np.uint8), shape, p=[0.5, 0.3, 0.15, 0.05])
        mask = PhaseMask.from_array("x", phases, PixelSize(100.0, "test"))
        write_mask(tmp_path / "masks" / folder / "x.tif", mask)
    return tmp_path / "masks"


def export(masks: Path, to: str, *more: str) -> Result:
    arguments = ["export", str(masks), "--to", to, "--out", str(masks.parent / "out"), *more]
    return CliRunner().invoke(app, arguments)


def truth(masks: Path, folder: str) -> np.ndarray:
    mask = open_mask(masks / folder / "x.tif")
    return np.concatenate(list(label_mask(mask).paint(mask)))


def fill(rings: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Fill rings by the even-odd rule at pixel centres."""
    row, column = np.mgrid[: shape[0], : shape[1]] + 0.5
    centres = np.stack([column.ravel(), row.ravel()], axis=1)
    inside = np.zeros(len(centres), bool)
    for ring in rings:
        inside ^= Outline(np.asarray(ring, float)).contains_points(centres)
    return inside.reshape(shape)


def test_labels(masks: Path) -> None:
    assert export(masks, "labels").exit_code == 0
    path = masks.parent / "out" / "a" / "x.labels.tif"
    labels = tifffile.imread(path)
    assert labels.dtype == np.uint32
    np.testing.assert_array_equal(labels, truth(masks, "a"))
    with tifffile.TiffFile(path) as tiff:
        assert 'PhysicalSizeX="0.1"' in str(tiff.ome_metadata)


def test_geojson(masks: Path) -> None:
    assert export(masks, "geojson").exit_code == 0
    told = json.loads((masks.parent / "out" / "b" / "x.geojson").read_text("utf-8"))
    labels = truth(masks, "b")
    assert told["type"] == "FeatureCollection"
    assert len(told["features"]) == labels.max()
    row, column = np.mgrid[: labels.shape[0], : labels.shape[1]] + 0.5
    found = np.zeros_like(labels)
    for feature in told["features"]:
        shape = shapely.from_geojson(json.dumps(feature["geometry"]))
        assert shape.is_valid
        measures = feature["properties"]["measurements"]
        assert shape.area == measures["area px"]
        assert measures["area µm²"] == pytest.approx(shape.area * 0.01)
        found[shapely.contains_xy(shape, column, row)] = measures["label"]
        assert feature["properties"]["classification"]["name"] in ("silt", "pore")
    np.testing.assert_array_equal(found, labels)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
def test_coco(masks: Path) -> None:
    assert export(masks, "coco").exit_code == 0
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    with contextlib.redirect_stdout(io.StringIO()):
        told = coco.COCO(str(masks.parent / "out" / "objects.coco.json"))
    assert [image["file_name"] for image in told.dataset["images"]] == ["a/x.tif", "b/x.tif"]
    assert [category["name"] for category in told.loadCats(told.getCatIds())] == ["silt", "pore"]
    for image, folder in ((1, "a"), (2, "b")):
        labels, phases = truth(masks, folder), open_mask(masks / folder / "x.tif").phases()
        annotations = told.loadAnns(told.getAnnIds(imgIds=[image]))
        assert len(annotations) == labels.max()
        for annotation in annotations:
            own = labels == annotation["label"]
            np.testing.assert_array_equal(told.annToMask(annotation), own)
            assert annotation["area"] == own.sum()
            assert annotation["category_id"] == phases[own][0]
            rows, columns = np.nonzero(own)
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert annotation["bbox"] == box


def test_imagej(masks: Path) -> None:
    assert export(masks, "imagej-roi").exit_code == 0
    labels = truth(masks, "a")
    rois = roifile.roiread(masks.parent / "out" / "a" / "x.roi.zip")
    assert len(rois) == labels.max()
    found = np.zeros_like(labels)
    for roi in rois:
        rings = roi.coordinates(multi=True)
        rings = rings if isinstance(rings, list) else [rings]
        phase, label = roi.name.split("-")
        assert phase in ("silt", "pore")
        found[fill(rings, labels.shape)] = int(label)
    np.testing.assert_array_equal(found, labels)


def test_csv(masks: Path) -> None:
    assert export(masks, "csv").exit_code == 0
    with (masks.parent / "out" / "a" / "x.objects.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = truth(masks, "a")
    areas = np.bincount(labels.ravel())[1:]
    assert [int(row["label"]) for row in rows] == list(range(1, labels.max() + 1))
    assert [float(row["area_um2"]) for row in rows] == pytest.approx((areas * 0.01).tolist())
    again = export(masks, "csv", "--pixel-size", "200nm")
    assert again.exit_code == 0
    assert "x.objects.csv" in again.stdout


def test_a_mask_that_fails_does_not_stop_the_others(masks: Path) -> None:
    (masks / "broken.tif").write_text("no image")
    for to in ("labels", "coco"):
        result = export(masks, to)
        assert result.exit_code == 1
        assert "broken.tif" in result.stderr
        assert len(result.stdout.split()) == (1 if to == "coco" else 2)
    out = masks.parent / "out"
    assert not list(out.rglob("*.part"))
    assert (out / "a" / "x.labels.tif").is_file()


def test_masks_of_one_name_do_not_replace_each_other(masks: Path) -> None:
    out = masks.parent / "out"
    words = [str(masks / "a" / "x.tif"), str(masks / "b" / "x.tif")]
    result = CliRunner().invoke(app, ["export", *words, "--to", "csv", "--out", str(out)])
    assert result.exit_code == 1
    assert "would have the same file as" in result.stderr
    assert not list(out.glob("*.csv"))
    assert export(masks, "coco").exit_code == 0
    told = json.loads((out / "objects.coco.json").read_text("utf-8"))
    assert [image["file_name"] for image in told["images"]] == ["a/x.tif", "b/x.tif"]


def test_the_pixel_size_is_that_of_stats(masks: Path) -> None:
    given = ("--pixel-size", "20nm")
    kept = export(masks, "csv", *given)
    assert "its own pixel size of 100 nm" in kept.stderr

    def sum_areas() -> float:
        path = masks.parent / "out" / "a" / "x.objects.csv"
        rows = csv.DictReader(io.StringIO(path.read_text("utf-8")))
        return sum(float(row["area_um2"]) for row in rows)

    whole = sum_areas()
    assert export(masks, "csv", *given, "--override-pixel-size").exit_code == 0
    assert sum_areas() == pytest.approx(whole / 25)
    phases = open_mask(masks / "a" / "x.tif").phases()
    Image.fromarray(phases).save(masks / "a" / "x.png")  # corrected, without a pixel size
    result = export(masks, "csv")
    assert result.exit_code == 0, result.output
    assert "the corrected x.png is taken" in result.stderr
    assert sum_areas() == pytest.approx(whole)


def test_label_images_beside_masks_are_no_masks(masks: Path) -> None:
    result = CliRunner().invoke(app, ["export", str(masks), "--to", "labels", "--out", str(masks)])
    assert result.exit_code == 0, result.output
    assert (masks / "a" / "x.labels.tif").is_file()
    Image.fromarray(open_mask(masks / "a" / "x.tif").phases()).save(masks / "y.labels.tif")
    again = export(masks, "csv", "--pixel-size", "100nm")
    assert [Path(line).name for line in again.stdout.split()] == [
        "x.objects.csv",
        "x.objects.csv",
        "y.labels.objects.csv",  # not mudrock's
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="names are Unicode there")
def test_a_name_that_is_no_utf_8_is_told(masks: Path) -> None:
    odd = os.fsdecode(os.fsencode(masks / "prob") + b"\xe9.tif")
    try:
        shutil.copy(masks / "a" / "x.tif", odd)
    except OSError:
        pytest.skip("the disk takes UTF-8 names alone")
    table = str(masks.parent / "report.parquet")
    measured = CliRunner().invoke(app, ["stats", str(masks), "--out", table])
    for result in (export(masks, "csv"), measured):
        assert result.exit_code == 1, result.output
        assert "prob\N{REPLACEMENT CHARACTER}.tif: its name is no UTF-8" in result.stderr


def test_no_pixel_size(tmp_path: Path) -> None:
    mask = PhaseMask.from_array("m", np.full((20, 20), 2, np.uint8))
    write_mask(tmp_path / "masks" / "m.tif", mask)
    refused = export(tmp_path / "masks", "csv")
    assert refused.exit_code == 1
    assert "pixel size" in refused.stderr
    assert export(tmp_path / "masks", "geojson").exit_code == 0


def test_imagej_is_too_small_for_a_mosaic(tmp_path: Path) -> None:
    mask = PhaseMask.from_array("m", np.zeros((16, 32_800), np.uint8))
    write_mask(tmp_path / "masks" / "m.tif", mask)
    result = export(tmp_path / "masks", "imagej-roi")
    assert result.exit_code == 1
    assert "32767" in result.stderr


def test_usage(tmp_path: Path) -> None:
    assert export(tmp_path / "nowhere", "labels").exit_code == 2
    (tmp_path / "masks").mkdir()
    assert export(tmp_path / "masks", "pdf").exit_code == 2
    assert export(tmp_path / "masks", "csv", "--pixel-size", "10").exit_code == 2
