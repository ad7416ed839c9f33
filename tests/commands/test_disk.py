"""A full disk and one that cannot be written: one line, the exit code, nothing half-written."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from mudrock_cli.cli import app
from mudrock_cli.deeplab.model import TrainedModel
from mudrock_cli.errors import ExitCode
from mudrock_cli.image.mask import PhaseMask, write_mask
from mudrock_cli.image.types import PixelSize

Words = Callable[[Path], list[str]]
COMMANDS = ("segment", "groundtruth", "stats", "report", "export", "coco")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A micrograph, a mask and its report."""
    folder = tmp_path_factory.mktemp("sources")
    rng = np.random.default_rng(0)
    grey = np.kron(rng.choice([20, 120, 230], (20, 20)), np.ones((8, 8)))
    grey = (grey + rng.integers(-9, 10, grey.shape)).astype(np.uint8)
    (folder / "images").mkdir()
    unit = {"unit": "um"}
    tifffile.imwrite(
        folder / "images" / "a.tif", grey, imagej=True, resolution=(100, 100), metadata=unit
    )
    phases = np.select([grey < 60, grey > 180], [2, 1], 0).astype(np.uint8)
    mask = PhaseMask.from_array("m", phases, PixelSize(100.0, "test"))
    write_mask(folder / "masks" / "a.tif", mask)
    words = ["stats", str(folder / "masks"), "--out", str(folder / "r.parquet")]
    assert CliRunner().invoke(app, words).exit_code == 0
    return folder


@pytest.fixture
def commands(sources: Path, tiny_model: TrainedModel) -> dict[str, Words]:
    """Return each command line, as a function of the folder that it writes into."""
    images, masks, table = sources / "images", sources / "masks", sources / "r.parquet"
    network = ["--model", str(tiny_model.path), "--save", "overlay,confidence,instances"]
    lines: dict[str, Words] = {
        "segment": lambda out: ["segment", str(images), "--out", str(out), *network],
        "groundtruth": lambda out: ["groundtruth", str(images), "--out", str(out)],
        "stats": lambda out: ["stats", str(masks), "--out", str(out / "r.parquet")],
        "report": lambda out: ["report", str(table), "--out", str(out / "r.html")],
        "export": lambda out: ["export", str(masks), "--to", "labels", "--out", str(out)],
        "coco": lambda out: ["export", str(masks), "--to", "coco", "--out", str(out)],
    }
    return lines


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run_limited(words: list[str], limit: int) -> subprocess.CompletedProcess[str]:
    """Run the command line where no file may grow past `limit` bytes: the kernel's full disk."""
    code = (
        "import resource, signal, sys\n"
        "from mudrock_cli.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing fails with EFBIG\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "main()"
    )
    root = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {"PYTHONPATH": root, "COLUMNS": "200"}
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_one_line_and_earlier_results_stay(
    name: str, commands: dict[str, Words], tmp_path: Path
) -> None:
    words = commands[name](tmp_path)
    assert CliRunner().invoke(app, words).exit_code == ExitCode.DONE
    before = contents(tmp_path)
    assert before
    force = ["--force"] if name in ("segment", "groundtruth") else []
    done = run_limited([*words, *force], 100)
    assert done.returncode == ExitCode.SOME_FAILED, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count(os.strerror(errno.EFBIG)) == 1, done.stderr
    assert contents(tmp_path) == before


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder on which nothing can be written, not even by root."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    if os.geteuid() == 0:
        bind = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
        if subprocess.run(bind, capture_output=True, check=False).returncode != 0:
            pytest.skip("root may write everywhere and not mount here")
        yield folder
        subprocess.run(["umount", str(folder)], check=True)
    else:
        folder.chmod(0o500)
        yield folder
        folder.chmod(0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="other permissions")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_cannot_be_written_is_told_before_any_work(
    name: str, commands: dict[str, Words], read_only: Path
) -> None:
    for folder in (read_only, read_only / "deeper"):
        result = CliRunner().invoke(app, commands[name](folder))
        assert result.exit_code == ExitCode.USAGE
        error, hint = result.stderr.splitlines()
        assert error.startswith("mudrock: error: ")
        assert "cannot be written (" in error
        assert hint == "hint: choose another --out"
        assert not list(read_only.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_one_line(commands: dict[str, Words], tmp_path: Path) -> None:
    words = [sys.executable, "-m", "mudrock_cli", *commands["groundtruth"](tmp_path), "--json"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            words, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == ExitCode.SOME_FAILED, done.stderr
    assert "Traceback" not in done.stderr
    assert "mudrock: error: No space left on device" in done.stderr
