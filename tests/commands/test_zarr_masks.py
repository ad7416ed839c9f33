"""OME-Zarr on the command line: the same masks and the same numbers as with TIFF."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from phantom import Phantom, make_phantom
from pyarrow import parquet
from typer.testing import CliRunner, Result

from mudrock_cli.cli import app
from mudrock_cli.errors import ExitCode
from mudrock_cli.image.mask import PhaseMask, open_mask, write_mask
from mudrock_cli.image.micrograph import open_micrograph
from mudrock_cli.image.types import PixelSize
from mudrock_cli.measure.components import label_mask
from mudrock_cli.measure.tables import summary_path
from mudrock_cli.report.tables import read_tables
from mudrock_cli.report.viewer import find_mask, find_micrograph


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "80"})


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(3, (300, 420))


@pytest.fixture
def images(tmp_path: Path, phantom: Phantom) -> Path:
    """Two micrographs as OME-Zarr, converted by somebody."""
    axes = [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "yx"]
    scale = [{"type": "scale", "scale": [10, 10]}]
    entry = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    ome = {"ome": {"version": "0.5", "multiscales": [entry]}}
    for name, grey in (("a", phantom.grey), ("deep/b", phantom.grey[::-1])):
        place = tmp_path / "images" / f"{name}.zarr"
        group = zarr.open_group(place, mode="w", zarr_format=3, attributes=ome)
        group.create_array("0", data=np.ascontiguousarray(grey), chunks=(128, 128))
    return tmp_path / "images"


def test_one_image_one_zarr(images: Path, tmp_path: Path, phantom: Phantom) -> None:
    given, out = images / "a.zarr", tmp_path / "masks" / "x.zarr"
    result = run("groundtruth", given, "--out", out, "--save", "overlay")
    assert result.exit_code == ExitCode.DONE, result.output
    assert sorted(path.name for path in out.parent.iterdir()) == ["x.overlay.png", "x.zarr"]
    assert run("groundtruth", given, "--out", tmp_path / "tif").exit_code == ExitCode.DONE
    one, two = open_mask(out), open_mask(tmp_path / "tif" / "a.tif")
    np.testing.assert_array_equal(one.phases(), two.phases())
    assert one.pixel_size == two.pixel_size == PixelSize(10, "OME-Zarr scale")
    assert {**one.provenance, "saved": []} == dict(two.provenance)
    np.testing.assert_array_equal(open_micrograph(out).grey(), phantom.grey)


def test_a_finished_zarr_is_kept_and_a_changed_one_made_again(images: Path, tmp_path: Path) -> None:
    given, out = images / "a.zarr", tmp_path / "x.zarr"

    def status(*more: str) -> str:
        line = run("groundtruth", given, "--out", out, "--json", *more).stdout.splitlines()[0]
        return str(json.loads(line)["status"])

    assert status() == "done"
    before = (out / "zarr.json").stat().st_ino
    assert status() == "skipped"
    assert (out / "zarr.json").stat().st_ino == before
    assert status("--recipe", "threshold") == "done"
    assert status("--recipe", "threshold") == "skipped"
    (out / "labels" / "phases" / "0" / "c" / "0" / "0").unlink()
    assert status("--recipe", "threshold") == "done"
    assert open_mask(out).phases().shape == (300, 420)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_zarr_that_was_corrected_is_not_replaced(images: Path, tmp_path: Path) -> None:
    words = ("groundtruth", images / "a.zarr", "--out", tmp_path / "x.zarr")
    assert run(*words).exit_code == ExitCode.DONE
    phases = zarr.open_array(tmp_path / "x.zarr" / "labels" / "phases" / "0", mode="r+")
    phases[:20, :20] = 2  # as an editor does it: the attributes stay
    for more in ((), ("--recipe", "threshold")):
        again = run(*words, *more)
        assert again.exit_code == ExitCode.SOME_FAILED, again.output
        assert "edited by hand since" in again.stderr
    assert (open_mask(tmp_path / "x.zarr").phases()[:20, :20] == 2).all()
    assert run(*words, "--force").exit_code == ExitCode.DONE
    assert not (open_mask(tmp_path / "x.zarr").phases()[:20, :20] == 2).all()


def test_a_collection_of_subfolders_is_read_back(images: Path, tmp_path: Path) -> None:
    shutil.rmtree(images / "a.zarr")
    shutil.copytree(images / "deep" / "b.zarr", images / "deep" / "c.zarr")
    out = tmp_path / "all.zarr"
    assert run("groundtruth", images, "--out", out).exit_code == ExitCode.DONE
    stats = run("stats", out, "--out", tmp_path / "report.parquet")
    assert stats.exit_code == ExitCode.DONE, stats.output
    again = run("groundtruth", images, "--out", out, "--json")
    assert [json.loads(line)["status"] for line in again.stdout.splitlines()] == ["skipped"] * 2


def test_several_images_become_a_zarr_each(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "all.zarr"
    result = run("groundtruth", images, "--out", out)
    assert result.exit_code == ExitCode.DONE, result.output
    assert open_mask(out / "a.zarr").shape == open_mask(out / "deep" / "b.zarr").shape
    assert zarr.open_group(out, mode="r")["a.zarr/labels/phases/0"].shape == (300, 420)
    assert "2 there already" in run("groundtruth", images, "--out", out).stdout
    again = run("groundtruth", images / "a.zarr", "--out", out)
    assert "1 there already" in again.stdout
    assert run("stats", out, "--out", tmp_path / "r.parquet").exit_code == ExitCode.DONE
    rows = parquet.read_table(summary_path(tmp_path / "r.parquet")).to_pylist()
    assert [row["image"] for row in rows if row["image"]] == ["a", "deep/b"]


def test_what_is_not_ours_stays(images: Path, tmp_path: Path) -> None:
    given, other = images / "a.zarr", images / "deep" / "b.zarr"
    mine = run("groundtruth", given, "--out", other, "--force")
    assert mine.exit_code == ExitCode.SOME_FAILED
    assert "not mudrock's" in mine.stderr
    itself = run("groundtruth", given, "--out", given)
    assert itself.exit_code == ExitCode.USAGE
    assert "would be replaced by a mask" in itself.stderr
    assert run("groundtruth", given, "--out", tmp_path / "x.zarr").exit_code == ExitCode.DONE
    several = run("groundtruth", images, "--out", tmp_path / "x.zarr")
    assert several.exit_code == ExitCode.USAGE
    assert "holds one image, not 2" in several.stderr


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """The same masks as TIFF and as OME-Zarr."""
    rng = np.random.default_rng(0)
    for name, shape in (("a", (90, 120)), ("sub/b", (70, 700))):
        coarse = rng.choice(np.array([0, 1, 2], np.uint8), (shape[0] // 5, shape[1] // 5))
        phases = coarse.repeat(5, 0).repeat(5, 1)
        phases[-4:] = 255
        mask = PhaseMask.from_array(name, phases, PixelSize(200.0, "by hand"), {"n": 1})
        write_mask(tmp_path / "tif" / f"{name}.tif", mask)
        write_mask(tmp_path / "zarr" / f"{name}.zarr", mask)
    return tmp_path


def measure(folder: Path, kind: str, end: str = "") -> list[dict[str, Any]]:
    table = folder / f"{kind}.parquet"
    assert run("stats", folder / kind, "--out", table).exit_code == ExitCode.DONE
    rows: list[dict[str, Any]] = parquet.read_table(
        summary_path(table) if end else table
    ).to_pylist()
    different = ("mask", "mask_sha256", "provenance")
    return [{key: row[key] for key in row if key not in different} for row in rows]


@pytest.mark.parametrize("end", ["", "summary"])
def test_stats_are_the_same(both: Path, end: str) -> None:
    def known(rows: list[dict[str, Any]]) -> list[str]:
        return [repr(row) for row in rows]  # NaN is not itself

    assert known(measure(both, "tif", end)) == known(measure(both, "zarr", end))


def test_evaluate_takes_them(both: Path) -> None:
    result = run("evaluate", both / "zarr", both / "tif", "--json")
    assert result.exit_code == ExitCode.DONE, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert {row["image"] for row in rows} >= {"a", "sub/b"}
    assert all(row["pixel_accuracy"] == 1 for row in rows)
    back = run("evaluate", both / "tif", both / "zarr", "--json")
    assert back.exit_code == ExitCode.DONE
    shutil.rmtree(both / "tif" / "sub")
    alone = run("evaluate", both / "zarr" / "a.zarr", both / "tif", "--json")
    assert alone.exit_code == ExitCode.DONE, alone.output


def test_the_report_finds_them_and_sees_a_change(both: Path) -> None:
    table, place = both / "zarr.parquet", both / "zarr" / "a.zarr"
    assert run("stats", place, "--out", table).exit_code == ExitCode.DONE
    tables = read_tables(table)
    found = find_mask(tables, tables.images[0])
    assert isinstance(found, PhaseMask)
    np.testing.assert_array_equal(found.phases(), open_mask(place).phases())
    write_mask(place, PhaseMask.from_array("a", np.zeros((90, 120), np.uint8)))
    assert "has changed" in str(find_mask(tables, tables.images[0]))


def test_the_report_shows_the_micrograph_inside(images: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "x.zarr", tmp_path / "r.parquet"
    assert run("groundtruth", images / "a.zarr", "--out", out).exit_code == ExitCode.DONE
    shutil.rmtree(images)
    assert run("stats", out, "--out", table).exit_code == ExitCode.DONE
    tables = read_tables(table)
    assert find_micrograph(tables, tables.images[0], None, print) is not None


def test_export_writes_instances(both: Path) -> None:
    result = run("export", both / "zarr", "--to", "ome-zarr", "--out", both / "out")
    assert result.exit_code == ExitCode.DONE, result.output
    mask = open_mask(both / "tif" / "sub" / "b.tif")
    labels = np.concatenate(list(label_mask(mask).paint(mask)))
    made = zarr.open_group(both / "out" / "sub" / "b.instances.zarr", mode="r")
    assert made["labels/instances/0"].dtype == np.uint32
    np.testing.assert_array_equal(made["labels/instances/0"][:], labels)
    np.testing.assert_array_equal(made["labels/instances/1"][:], labels[::2, ::2])
    from_tiff = run("export", both / "tif", "--to", "ome-zarr", "--out", both / "out")
    assert from_tiff.exit_code == ExitCode.DONE
