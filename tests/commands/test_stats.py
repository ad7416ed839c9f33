"""The command `stats`: what it writes, what it says, and how it takes bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from mudrock_cli.cli import app
from mudrock_cli.errors import ExitCode
from mudrock_cli.image.mask import PhaseMask, write_mask
from mudrock_cli.image.phase import Phase
from mudrock_cli.image.pixel_size import PixelSize
from mudrock_cli.image.plane_writer import write_plane
from mudrock_cli.measure.tables import read_table, summary_path

ROOT = Path(__file__).resolve().parents[2]
Phases = npt.NDArray[np.uint8]


def heed_ctrl_c() -> None:
    """Undo what a shell does to its background jobs: they, and so their children, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def make_phases(seed: int, shape: tuple[int, int] = (100, 120)) -> Phases:
    rng = np.random.default_rng(seed)
    phases = np.zeros(shape, np.uint8)
    for top in range(3, shape[0] - 12, 12):
        for left in range(3, shape[1] - 12, 12):
            side = rng.integers(2, 9)
            phases[top : top + side, left : left + side] = rng.choice([0, 1, 2])
    return phases


def save_mask(path: Path, phases: Phases, nm: float | None = 500) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    size = None if nm is None else PixelSize(nm, "FEI tag 34682")
    write_mask(path, PhaseMask.from_array(path.stem, phases, size, {"method": "segment"}))


def stats(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["stats", *map(str, arguments)], env={"COLUMNS": "80"})


def read_summary(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_table(summary_path(path), "summary")[0].to_pylist()
    return rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two masks of different pixel sizes, in two folders."""
    masks = tmp_path / "masks"
    save_mask(masks / "a.tif", make_phases(0), 500)
    save_mask(masks / "deep" / "b.tif", make_phases(1), 1000)
    return masks


def test_two_tables_are_written(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "report.parquet"
    result = stats(folder, "--out", out)
    assert result.exit_code == ExitCode.DONE, result.output
    instances, facts = read_table(out, "instances")
    assert facts["options"]["min_silt_um"] == 2.0
    frame = instances.to_pandas()
    assert set(frame["image"]) == {"a", "deep/b"}
    assert not frame.duplicated(["image", "label"]).any()
    # Each is measured in its own pixels.
    ratio = frame["area_um2"] / frame["area_px"]
    assert set(ratio[frame["image"] == "a"].round(9)) == {0.25}
    assert set(ratio[frame["image"] == "deep/b"].round(9)) == {1.0}
    rows = read_summary(out)
    assert [row["scope"] for row in rows] == ["image", "image", "pooled"]
    assert [row["pixel_size_nm"] for row in rows] == [500, 1000, None]
    assert rows[0]["pixel_size_source"] == "FEI tag 34682"
    assert rows[0]["mask"] == "../masks/a.tif"
    assert rows[0]["micrograph"] is None
    assert json.loads(rows[0]["provenance"])["method"] == "segment"
    assert rows[2]["pores"] == rows[0]["pores"] + rows[1]["pores"]


def test_the_closing_table_fits_and_agrees(folder: Path, tmp_path: Path) -> None:
    long = folder / f"{'a_name_too_long_for_any_table' * 3}.tif"
    (folder / "a.tif").rename(long)
    result = stats(folder, "--out", tmp_path / "r.parquet")
    table = result.stdout.split("±  half")[0].split("pixel size")[0].splitlines()
    assert max(len(line) for line in table) <= 80
    rows = read_summary(tmp_path / "r.parquet")
    pooled = next(line for line in table if line.startswith("all 2 images"))
    assert f"{100 * rows[-1]['porosity']:.1f} ±" in pooled
    assert f"{rows[-1]['silt_ecd_d50_area_um']:.3g}" in pooled
    assert "500 nm, FEI tag 34682 (1)" in result.stdout


def test_json_lines(folder: Path, tmp_path: Path) -> None:
    (folder / "c.png").write_text("no image")
    result = stats(folder, "--out", tmp_path / "r.parquet", "--json")
    assert result.exit_code == ExitCode.SOME_FAILED
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    by_kind = {line.get("scope", "error"): line for line in lines}
    assert list(by_kind) == ["image", "error", "pooled"]
    assert by_kind["error"]["input"].endswith("c.png")
    rows = read_summary(tmp_path / "r.parquet")
    assert by_kind["pooled"]["porosity"] == rows[-1]["porosity"]
    assert "pore_two_point" not in by_kind["image"]
    assert "NaN" not in result.stdout


def test_small_silt_goes_to_clay_and_both_numbers_stay(tmp_path: Path) -> None:
    phases = np.zeros((50, 50), np.uint8)
    phases[10:20, 10:20] = Phase.SILT  # ECD 11.3 pixels
    phases[30:34, 30:34] = Phase.SILT  # ECD 4.5 pixels
    save_mask(tmp_path / "m.tif", phases, 1000)
    found = {}
    for limit in ("0", "2um", "5 um", "20000nm"):
        stats(tmp_path / "m.tif", "--out", tmp_path / "r.parquet", "--min-silt", limit)
        row = read_summary(tmp_path / "r.parquet")[0]
        assert row["mask_silt_fraction"] == 116 / 2500
        found[limit] = (row["silt_fraction"], row["silt_grains"], row["small_silt_regions"])
    assert found == {
        "0": (116 / 2500, 2, 0),
        "2um": (116 / 2500, 2, 0),
        "5 um": (100 / 2500, 1, 1),
        "20000nm": (0, 0, 2),
    }


def test_micrographs_and_confidence_give_means(tmp_path: Path) -> None:
    phases = make_phases(3)
    grey = np.where(phases == Phase.PORE, 10, 200).astype(np.uint8)
    confidence = np.where(phases == Phase.PORE, 255, 51).astype(np.uint8)
    save_mask(tmp_path / "masks" / "m.tif", phases, None)
    write_plane(tmp_path / "masks" / "m.confidence.tif", phases.shape, np.uint8, [confidence], None)
    (tmp_path / "images").mkdir()
    Image.fromarray(grey).save(tmp_path / "images" / "m.png")
    result = stats(
        tmp_path / "masks", "--out", tmp_path / "r.parquet", "--pixel-size", "500nm",
        "--micrographs", tmp_path / "images",
    )  # fmt: skip
    assert result.exit_code == ExitCode.DONE, result.output
    frame = read_table(tmp_path / "r.parquet", "instances")[0].to_pandas()
    pores = frame["phase"] == "pore"
    assert set(frame.loc[pores, "mean_grey"]) == {10}
    assert set(frame.loc[~pores, "mean_grey"]) == {200}
    assert set(frame.loc[pores, "mean_confidence"]) == {1}
    assert set(frame.loc[~pores, "mean_confidence"]) == {0.2}
    assert read_summary(tmp_path / "r.parquet")[0]["micrograph"] == "images/m.png"


def test_micrographs_that_do_not_fit_are_left_out(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.fromarray(make_phases(0)[:50]).save(tmp_path / "images" / "a.png")
    result = stats(folder, "--out", tmp_path / "r.parquet", "--micrographs", tmp_path / "images")
    assert result.exit_code == ExitCode.DONE
    assert "a.png: its size is not that of" in result.stderr
    assert "b.tif: no micrograph of its name" in result.stderr
    frame = read_table(tmp_path / "r.parquet", "instances")[0].to_pandas()
    assert frame["mean_grey"].isna().all()


def test_groups(tmp_path: Path) -> None:
    for seed, name in enumerate(["s1_top", "s1_base", "s2_top"]):
        save_mask(tmp_path / "masks" / f"{name}.tif", make_phases(seed))
    out = tmp_path / "r.parquet"
    result = stats(tmp_path / "masks", "--out", out, "--group", "(?P<sample>s[0-9])_")
    assert result.exit_code == ExitCode.DONE, result.output
    rows = read_summary(out)
    assert [row["scope"] for row in rows[3:]] == ["group", "group", "comparison", "pooled"]
    assert [row["group"] for row in rows] == [
        "sample s1", "sample s1", "sample s2", "sample s1", "sample s2", "sample s1", None,
    ]  # fmt: skip
    assert rows[5]["other_group"] == "sample s2"
    assert rows[5]["porosity_difference"] == pytest.approx(
        rows[4]["porosity"] - rows[3]["porosity"]
    )
    assert "sample s1" in result.stdout

    (tmp_path / "g.csv").write_text("name,bed\ns1_top,a\ns1_base,b\n")
    result = stats(tmp_path / "masks", "--out", out, "--group", tmp_path / "g.csv")
    assert result.exit_code == ExitCode.USAGE
    assert "s2_top: no group in" in result.stderr


def test_masks_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for place in ("one", "two"):
        save_mask(tmp_path / place / "m.tif", make_phases(0))
    paths = [tmp_path / place / "m.tif" for place in ("one", "two")]
    assert stats(*paths, "--out", tmp_path / "r.parquet").exit_code == ExitCode.DONE
    names = [row["image"] for row in read_summary(tmp_path / "r.parquet")[:2]]
    assert names == [str(path.with_suffix("")) for path in paths]


def fail_beside_good_ones(folder: Path, bad: Path, *options: str) -> str:
    """Run with a bad mask among good ones; return the line about it."""
    out = folder.parent / "r.parquet"
    result = stats(folder, "--out", out, *options)
    assert result.exit_code == ExitCode.SOME_FAILED
    assert len(read_summary(out)) == 3
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error")]
    assert str(bad) in line
    return line


def test_unknown_pixel_size(folder: Path) -> None:
    save_mask(folder / "bad.tif", make_phases(0), None)
    line = fail_beside_good_ones(folder, folder / "bad.tif")
    assert "the pixel size is not known; give it: --pixel-size 10nm" in line


def test_other_values(folder: Path) -> None:
    Image.fromarray(make_phases(0) * 3).save(folder / "bad.png")
    line = fail_beside_good_ones(folder, folder / "bad.png")
    assert "no phase mask" in line


def test_all_void(folder: Path) -> None:
    save_mask(folder / "bad.tif", np.full((50, 60), Phase.VOID, np.uint8))
    assert "no specimen in it" in fail_beside_good_ones(folder, folder / "bad.tif")


@pytest.mark.parametrize("content", [b"", b"II*\0garbage", b"text"])
def test_unreadable(folder: Path, content: bytes) -> None:
    (folder / "bad.tif").write_bytes(content)
    fail_beside_good_ones(folder, folder / "bad.tif")


def test_truncated(folder: Path) -> None:
    phases = np.random.default_rng(0).choice([0, 1, 2], (400, 400)).astype(np.uint8)
    save_mask(folder / "bad.tif", phases)
    data = (folder / "bad.tif").read_bytes()
    (folder / "bad.tif").write_bytes(data[: len(data) * 2 // 3])
    fail_beside_good_ones(folder, folder / "bad.tif")


@pytest.mark.parametrize("value", [Phase.CLAY, Phase.SILT, Phase.PORE])
def test_one_phase_alone_warns_little(tmp_path: Path, value: Phase) -> None:
    save_mask(tmp_path / "m.tif", np.full((60, 50), value, np.uint8))
    result = stats(tmp_path / "m.tif", "--out", tmp_path / "r.parquet")
    assert result.exit_code == ExitCode.DONE
    assert len(result.stderr.splitlines()) <= 2
    row = read_summary(tmp_path / "r.parquet")[0]
    assert row["porosity"] == float(value == Phase.PORE)
    assert (row["pore_ecd_d50_number_um"] is None) == (value != Phase.PORE)


def test_nothing_measured_keeps_the_earlier_report(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    stats(folder, "--out", out)
    before = out.read_bytes()
    (tmp_path / "bad.tif").write_bytes(b"text")
    result = stats(tmp_path / "bad.tif", "--out", out)
    assert result.exit_code == ExitCode.SOME_FAILED
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "report.csv"], "no name of a Parquet file"),
        (["--pixel-size", "10"], "cannot read the length '10' (--pixel-size)"),
        (["--min-silt", "big"], "cannot read the length 'big' (--min-silt)"),
        (["--micrographs", "absent"], "absent: no folder"),
        (["--group", "("], "no regular expression"),
        (["--group", "absent.csv"], "absent.csv: cannot be read"),
    ],
)
def test_wrong_usage(folder: Path, arguments: list[str], said: str) -> None:
    result = stats(folder, *arguments)
    assert result.exit_code == ExitCode.USAGE
    assert said in result.stderr
    assert "hint: " in result.stderr


def test_no_masks_at_all(tmp_path: Path) -> None:
    result = stats(tmp_path, "--out", tmp_path / "r.parquet")
    assert result.exit_code == ExitCode.USAGE
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(folder: Path) -> None:
    result = stats(folder, "--out", folder / "a.tif" / "r.parquet")
    assert result.exit_code == ExitCode.USAGE
    assert "cannot be written" in result.stderr


def test_heavy_libraries_are_left_alone(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['mudrock', 'stats', sys.argv[1], '--out', sys.argv[2]]\n"
        "from mudrock_cli.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "heavy = {'keras', 'tensorflow', 'torch', 'jax', 'openvino', 'matplotlib', 'skimage',"
        " 'pandas', 'sklearn', 'scipy.stats'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, folder, tmp_path / "r.parquet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_interrupt_leaves_nothing_half_written(tmp_path: Path) -> None:
    for seed in range(40):
        save_mask(tmp_path / "masks" / f"{seed}.tif", make_phases(seed, (600, 600)))
    out = tmp_path / "r.parquet"
    out.write_bytes(b"earlier")
    process = subprocess.Popen(
        [sys.executable, "-m", "mudrock_cli", "stats", tmp_path / "masks", "--out", out, "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    )
    assert process.stdout is not None
    process.stdout.readline()  # the first mask is measured
    os.kill(process.pid, signal.SIGINT)
    start = time.monotonic()
    _, said = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED, said
    assert time.monotonic() - start < 20
    assert "Traceback" not in said
    assert out.read_bytes() == b"earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks", "r.parquet"]
