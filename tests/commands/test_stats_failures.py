"""How `stats` takes bad masks, wrong usage and Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_runs import ROOT, heed_ctrl_c, read_summary, stats
from drawn_images import draw_phases, save_mask
from PIL import Image

from mudrock_cli.errors import ExitCode
from mudrock_cli.image.types import Phase


def fail_beside_good_ones(mask_folder: Path, bad: Path, *options: str) -> str:
    """Run with a bad mask among good ones; return the line about it."""
    out = mask_folder.parent / "r.parquet"
    result = stats(mask_folder, "--out", out, *options)
    assert result.exit_code == ExitCode.SOME_FAILED
    assert len(read_summary(out)) == 3
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error")]
    assert str(bad) in line
    return line


def test_unknown_pixel_size(mask_folder: Path) -> None:
    save_mask(mask_folder / "bad.tif", draw_phases(0), None)
    line = fail_beside_good_ones(mask_folder, mask_folder / "bad.tif")
    assert "the pixel size is not known; give it: --pixel-size 10nm" in line


def test_other_values(mask_folder: Path) -> None:
    Image.fromarray(draw_phases(0) * 3).save(mask_folder / "bad.png")
    line = fail_beside_good_ones(mask_folder, mask_folder / "bad.png")
    assert "no phase mask" in line


def test_all_void(mask_folder: Path) -> None:
    save_mask(mask_folder / "bad.tif", np.full((50, 60), Phase.VOID, np.uint8))
    assert "no specimen in it" in fail_beside_good_ones(mask_folder, mask_folder / "bad.tif")


@pytest.mark.parametrize("content", [b"", b"II*\0garbage", b"text"])
def test_unreadable(mask_folder: Path, content: bytes) -> None:
    (mask_folder / "bad.tif").write_bytes(content)
    fail_beside_good_ones(mask_folder, mask_folder / "bad.tif")


def test_truncated(mask_folder: Path) -> None:
    phases = np.random.default_rng(0).choice([0, 1, 2], (400, 400)).astype(np.uint8)
    save_mask(mask_folder / "bad.tif", phases)
    data = (mask_folder / "bad.tif").read_bytes()
    (mask_folder / "bad.tif").write_bytes(data[: len(data) * 2 // 3])
    fail_beside_good_ones(mask_folder, mask_folder / "bad.tif")


def test_nothing_measured_keeps_the_earlier_report(mask_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    stats(mask_folder, "--out", out)
    before = out.read_bytes()
    (tmp_path / "bad.tif").write_bytes(b"text")
    result = stats(tmp_path / "bad.tif", "--out", out)
    assert result.exit_code == ExitCode.SOME_FAILED
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "report.ods"], "no name of a table"),
        (["--pixel-size", "10"], "cannot read the length '10' (--pixel-size)"),
        (["--min-silt", "big"], "cannot read the length 'big' (--min-silt)"),
        (["--micrographs", "absent"], "absent: no folder"),
        (["--group", "("], "no regular expression"),
        (["--group", "absent.csv"], "absent.csv: cannot be read"),
    ],
)
def test_wrong_usage(mask_folder: Path, arguments: list[str], said: str) -> None:
    result = stats(mask_folder, *arguments)
    assert result.exit_code == ExitCode.USAGE
    assert said in result.stderr
    assert "hint: " in result.stderr


def test_no_masks_at_all(tmp_path: Path) -> None:
    result = stats(tmp_path, "--out", tmp_path / "r.parquet")
    assert result.exit_code == ExitCode.USAGE
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(mask_folder: Path) -> None:
    result = stats(mask_folder, "--out", mask_folder / "a.tif" / "r.parquet")
    assert result.exit_code == ExitCode.USAGE
    assert "cannot be written" in result.stderr


def test_interrupt_leaves_nothing_half_written(tmp_path: Path) -> None:
    for seed in range(40):
        save_mask(tmp_path / "masks" / f"{seed}.tif", draw_phases(seed, (600, 600)))
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
