import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mudrock_cli import files as claims
from mudrock_cli.errors import UsageError
from mudrock_cli.files import lock_folder, part_path, remove_leftovers


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    mine = part_path(tmp_path / "mine.tif")
    dead = tmp_path / mine.name.replace(f"-{os.getpid()}.", f"-{ended.pid}.")
    folder = tmp_path / dead.name.replace("mine.tif", "model")
    (folder / "deep").mkdir(parents=True)
    moved = tmp_path / dead.name.replace("mine.tif", "x.zarr.old")  # killed while it was replaced
    moved.mkdir()
    elsewhere, long_gone = (tmp_path / f".{name}.ffffff-{ended.pid}.part" for name in "ab")
    for path in (mine, dead, elsewhere, long_gone, tmp_path / ".hidden", tmp_path / "a.1.part"):
        path.touch()
    os.utime(long_gone, (0, 0))
    remove_leftovers(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {mine.name, elsewhere.name, ".hidden", "a.1.part", "x.zarr"}
    remove_leftovers(tmp_path / "nowhere")


def test_a_folder_is_claimed_by_one_living_run(tmp_path: Path) -> None:
    folder = tmp_path / "training"
    with lock_folder(folder):
        mine = next(folder.iterdir())
    assert not list(folder.iterdir())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        mark = folder / mine.name.replace(f"-{os.getpid()}.", f"-{other.pid}.")
        mark.touch()
        with pytest.raises(UsageError, match="another run works in it"), lock_folder(folder):
            pytest.fail("the folder is taken")
        assert list(folder.iterdir()) == [mark]
        other.communicate(b"\n")
    with lock_folder(folder):  # whoever left the mark is gone
        assert not mark.exists()


def claim_elsewhere(folder: Path, age: float) -> Path:
    """Leave the mark of a run on another machine, renewed `age` seconds ago."""
    mark = folder / ".run.ffffff-1.part"
    mark.touch()
    os.utime(mark, (time.time() - age,) * 2)
    return mark


def test_a_run_of_another_machine_that_renews_its_mark_keeps_its_folder(tmp_path: Path) -> None:
    mark = claim_elsewhere(tmp_path, 1800)
    with pytest.raises(UsageError, match="another run works in it"), lock_folder(tmp_path):
        pytest.fail("the folder is taken")
    assert list(tmp_path.iterdir()) == [mark]


def test_a_run_of_another_machine_that_fell_silent_loses_it(tmp_path: Path) -> None:
    mark = claim_elsewhere(tmp_path, 4000)
    with lock_folder(tmp_path):
        assert not mark.exists()
    assert not list(tmp_path.iterdir())


def test_a_run_renews_its_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_RENEWAL_SECONDS", 0.01)
    with lock_folder(tmp_path):
        mark = next(tmp_path.iterdir())
        os.utime(mark, (0, 0))
        until = time.monotonic() + 10
        while mark.stat().st_mtime < time.time() - 60 and time.monotonic() < until:
            time.sleep(0.01)
        assert mark.stat().st_mtime > time.time() - 60
    assert not list(tmp_path.iterdir())
