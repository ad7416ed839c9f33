import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner, Result

from mudrock_cli import __version__, cli
from mudrock_cli import segmentation as engines
from mudrock_cli.commands import log as privacy
from mudrock_cli.commands.log import Censor
from mudrock_cli.deeplab.model import TrainedModel
from mudrock_cli.errors import ExitCode
from mudrock_cli.image.mask import PhaseMask, write_mask
from mudrock_cli.image.types import PixelSize

PRIVATE = ("Secret Client", "wellbore 7", "jdoe", "lab-pc-12")


@pytest.fixture
def masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good mask and a broken one, in folders that tell what nobody should know."""
    monkeypatch.setattr(privacy.getpass, "getuser", lambda: "jdoe")
    monkeypatch.setattr(privacy.platform, "node", lambda: "lab-pc-12.example.org")
    folder = tmp_path / "home" / "jdoe" / "Secret Client" / "wellbore 7"
    phases = np.zeros((40, 50), np.uint8)
    phases[5:12, 5:12], phases[20:30, 20:40] = 2, 1
    write_mask(folder / "good.tif", PhaseMask.from_array("m", phases, PixelSize(100.0, "test")))
    (folder / "broken.tif").write_bytes(b"II*\0 nothing")
    return folder


def mudrock(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.app, [*map(str, words)])


def read(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text("utf-8").splitlines()]


def test_a_log_tells_what_a_bug_report_needs_and_nothing_private(
    masks: Path, tmp_path: Path
) -> None:
    log = tmp_path / "run.jsonl"
    done = mudrock("--log", log, "stats", masks.parent, "--out", masks / "r.parquet")
    assert done.exit_code == ExitCode.SOME_FAILED
    text = log.read_text("utf-8")
    for name in PRIVATE:
        assert name not in text
    assert "broken.tif: " in text
    start, *events, end = read(log)
    assert start["event"] == "start"
    assert start["mudrock"] == __version__
    assert start["packages"]["numpy"] == np.__version__
    assert start["hardware"]["cores"] >= 1
    assert start["command"] == ["--log", "run.jsonl", "stats", "FOLDER", "--out", "r.parquet"]
    (row,) = (event for event in events if event.get("scope") == "image")
    assert row["width_px"] == 50
    assert row["seconds"] > 0
    (error,) = (event for event in events if event["event"] == "error")
    assert any(frame.startswith("mudrock_cli/image/") for frame in error["frames"])
    assert any(event["event"] == "warning" for event in events)
    assert end["event"] == "end"
    assert end["exit_code"] == ExitCode.SOME_FAILED
    assert [event["t"] for event in events] == sorted(event["t"] for event in events)


def test_paths_are_told_when_asked_for_and_a_log_goes_on(masks: Path, tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    for _ in range(2):
        mudrock("--log", log, "--log-paths", "stats", masks / "broken.tif", "--out", "r.parquet")
    assert str(masks / "broken.tif") in log.read_text("utf-8")
    assert [event["event"] for event in read(log)].count("start") == 2


def test_a_bug_is_logged_with_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mudrock_cli.deeplab.model.list_models", lambda: 1 / 0)
    result = mudrock("--log", tmp_path / "l", "models")
    assert isinstance(result.exception, ZeroDivisionError)
    error, end = read(tmp_path / "l")[1:]
    assert error["type"] == "ZeroDivisionError"
    assert any("models.py" in frame for frame in error["frames"])
    assert end["exit_code"] == ExitCode.SOME_FAILED


def test_without_a_log_nothing_is_written_and_loggers_are_as_before(tmp_path: Path) -> None:
    import logging

    logger = logging.getLogger("mudrock")
    mudrock("--log", tmp_path / "l", "models")
    size = (tmp_path / "l").stat().st_size
    assert mudrock("models").exit_code == 0
    assert (tmp_path / "l").stat().st_size == size
    assert not logger.handlers
    assert not logger.isEnabledFor(logging.INFO)


def test_a_log_that_cannot_be_written_stops_before_any_work(tmp_path: Path) -> None:
    result = mudrock("--log", tmp_path / "no" / "l", "models")
    assert result.exit_code == ExitCode.USAGE
    assert result.stderr.startswith("mudrock: error: --log ")
    assert not result.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_ends_the_log_and_not_the_run() -> None:
    result = mudrock("--log", "/dev/full", "models")
    assert result.exit_code == ExitCode.DONE
    assert result.stderr.count("warning: the log ends here: No space left") == 1


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/data/Client A/run 2/a.tif: cannot be read", "a.tif: cannot be read"),
        (
            "a.tif: no micrograph of its name in /data/Client A",
            "a.tif: no micrograph of its name in Client A",
        ),
        ("deep/er/b.png: would write the same mask", "b.png: would write the same mask"),
        ("~/x/c.tif is gone", "c.tif is gone"),
        ("C:/Users/Jane/d.tif: broken", "d.tif: broken"),
        ("10 nm per pixel: 5.2 % pores", "10 nm per pixel: 5.2 % pores"),
        ("written by jdoe on lab-pc-12", "written by user on host"),
    ],
)
def test_what_is_left_of_a_text(text: str, left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy.getpass, "getuser", lambda: "jdoe")
    monkeypatch.setattr(privacy.platform, "node", lambda: "lab-pc-12")
    assert Censor([])(text) == left


FOLDERS = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="/\n\0:\"'<>|*?\\"), min_size=3),
    min_size=1,
    max_size=4,
)


@given(FOLDERS)
def test_no_folder_of_an_absolute_path_is_told(folders: list[str]) -> None:
    marked = [f"§{name}§" for name in folders]
    text = f"cannot read /{'/'.join(marked)}/last.tif: gone"
    assert "§" not in Censor([])(text)


def test_segment_logs_its_engine_and_every_image(tmp_path: Path, tiny_model: TrainedModel) -> None:
    engines._start_engine.cache_clear()  # a process logs an engine when it starts it
    grey = np.random.default_rng(0).integers(90, 150, (40, 50)).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    words = ("segment", tmp_path / "a.png", "--out", tmp_path / "m", "--model", tiny_model.path)
    assert mudrock("--log", tmp_path / "l", *words).exit_code == ExitCode.DONE
    events = {event["event"]: event for event in read(tmp_path / "l")}
    assert events["batch"]["model"] == tiny_model.describe()
    assert events["engine"]["precision"] in ("f32", "bf16", "f16")
    assert events["engine"]["threads"] >= 1
    assert events["image"]["input"] == "a.png"
    assert events["image"]["mask"] == "a.tif"
    assert events["image"]["seconds"] > 0
    assert str(tmp_path) not in (tmp_path / "l").read_text("utf-8")


def test_folders_with_blanks_below_a_known_one_are_not_told(tmp_path: Path) -> None:
    given_folder = tmp_path / "images"
    given_folder.mkdir()
    censor = Censor(["segment", str(given_folder)])
    told = censor(f"{given_folder}/Secret Client/x.tif: not found")
    assert told == "x.tif: not found"
    assert censor(Path("images") / "Secret Client" / "x.tif") == "x.tif"
