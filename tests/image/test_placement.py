import os
import subprocess
import sys
from pathlib import Path

import pytest

from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.image.placement import (
    check_writable,
    claiming,
    part_path,
    placing,
    remove_leftovers,
)


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "a.txt"
    with placing(place) as part:
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
        with placing(place, "make room") as part:
            part.write_text("half")
            raise error

    with pytest.raises(known) as caught:
        fail()
    if isinstance(caught.value, MudrockError):
        assert caught.value.message == f"{place}: cannot be written (No space left on device)"
        assert caught.value.hint == "make room"
    assert place.read_text() == "before"
    assert list(tmp_path.iterdir()) == [place]


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


def test_a_folder_that_cannot_be_written_is_wrong_usage(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "deep")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file: cannot be written \(File exists\)"):
        check_writable(tmp_path / "file")
    assert not list((tmp_path / "new" / "deep").iterdir())


def test_a_folder_is_claimed_by_one_living_run(tmp_path: Path) -> None:
    folder = tmp_path / "training"
    with claiming(folder):
        mine = next(folder.iterdir())
    assert not list(folder.iterdir())
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        mark = folder / mine.name.replace(f"-{os.getpid()}.", f"-{other.pid}.")
        mark.touch()
        with pytest.raises(UsageError, match="another run works in it"), claiming(folder):
            pytest.fail("the folder is taken")
        assert list(folder.iterdir()) == [mark]
        other.communicate(b"\n")
    with claiming(folder):  # whoever left the mark is gone
        assert not mark.exists()
