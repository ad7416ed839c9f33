"""New files and folders are whole or not there; a folder is written by one run at a time."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mudrock_cli import files as claims
from mudrock_cli import files as placement
from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.files import (
    atomic_write,
    check_writable,
    fsync,
    lock_folder,
    part_path,
    remove_leftovers,
)


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "a.txt"
    with atomic_write(place) as part:
        part.write_text("whole")
        assert not place.exists()
        assert part.parent == place.parent
        assert part.name.startswith(".")
    assert place.read_text() == "whole"
    assert list(place.parent.iterdir()) == [place]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_was_there_stays_when_writing_fails(tmp_path: Path, error: BaseException) -> None:
    place = tmp_path / "a.txt"
    place.write_text("before")
    known = MudrockError if isinstance(error, OSError) else KeyboardInterrupt

    def fail() -> None:
        with atomic_write(place, "make room") as part:
            part.write_text("half")
            raise error

    with pytest.raises(known) as caught:
        fail()
    if isinstance(caught.value, MudrockError):
        assert caught.value.message == f"{place}: cannot be written (No space left on device)"
        assert caught.value.hint == "make room"
    assert place.read_text() == "before"
    assert list(tmp_path.iterdir()) == [place]


def make_folder(place: Path, text: str) -> None:
    with atomic_write(place) as part:
        (part / "deep" / "er").mkdir(parents=True)
        for name in ("a", "deep/b", "deep/er/c"):
            (part / name).write_text(text)
        assert not place.exists() or (place / "a").read_text() != text


def test_a_folder_appears_when_it_is_whole_and_replaces_another(tmp_path: Path) -> None:
    place = tmp_path / "x"
    for text in ("first", "second"):
        make_folder(place, text)
        assert (place / "deep" / "er" / "c").read_text() == text
        assert list(tmp_path.iterdir()) == [place]


def test_a_folder_stays_where_another_cannot_take_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "x"
    make_folder(place, "first")
    rename = Path.rename

    def fail_for_the_new(path: Path, target: Path) -> Path:
        if path == part_path(place):
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new)
    with pytest.raises(MudrockError, match=r"cannot be written \(Input/output error\)"):
        make_folder(place, "second")
    assert (place / "a").read_text() == "first"
    assert list(tmp_path.iterdir()) == [place]


def test_every_file_and_folder_is_brought_to_the_disk_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr(placement, "_sync", synced.append)
    monkeypatch.setattr(os, "sync", lambda: pytest.fail("all disks of the machine"), raising=False)
    (tmp_path / "beside").write_text("of somebody else")
    make_folder(tmp_path / "x", "text")
    part = part_path(tmp_path / "x")
    files = [part / name for name in ("a", "deep/b", "deep/er/c")]
    folders = [] if os.name == "nt" else [part, part / "deep", part / "deep" / "er"]
    assert sorted(synced) == sorted(files + folders)
    monkeypatch.undo()
    fsync(tmp_path / "x")
    fsync(tmp_path / "beside")


def test_a_folder_that_cannot_be_written_is_wrong_usage(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "deep")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file: cannot be written \(File exists\)"):
        check_writable(tmp_path / "file")
    assert not list((tmp_path / "new" / "deep").iterdir())


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
