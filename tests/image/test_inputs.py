"""Which images a command line and a folder of labels mean."""

import os
from pathlib import Path

import numpy as np
import pytest

from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.files import Input, find_collisions, find_inputs, find_pairs, find_partner
from mudrock_cli.image.mask import PhaseMask, write_mask
from mudrock_cli.image.micrograph import open_micrograph


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b.tif",
        "a.TIF",
        "sub/c.png",
        "sub/deep/d.jpg",
        "a.txt",
        "notes.md",
        ".hidden.tif",
        ".cache/e.tif",
        "sub/c.overlay.png",
        "c.confidence.tif",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    write_mask(tmp_path / "out" / "b.tif", PhaseMask.from_array("b", np.zeros((20, 20), np.uint8)))
    return tmp_path


def relatives(inputs: list[Input]) -> list[str]:
    return sorted(item.relative.as_posix() for item in inputs)


def test_a_folder_is_searched_and_mirrored(folder: Path) -> None:
    inputs = find_inputs([str(folder)])
    assert relatives(inputs) == ["a", "b", "sub/c", "sub/deep/d"]
    assert [item.path for item in inputs] == sorted(item.path for item in inputs)


def test_masks_are_inputs_where_masks_are_wanted(folder: Path) -> None:
    assert relatives(find_inputs([str(folder / "out")], keep_masks=True)) == ["b"]


def test_files_keep_their_name_only(folder: Path) -> None:
    inputs = find_inputs([str(folder / "sub" / "c.png"), str(folder / "notes.md")])
    assert relatives(inputs) == ["c", "notes"]


def test_a_glob_mirrors_from_its_first_wildcard(folder: Path) -> None:
    assert relatives(find_inputs([str(folder / "**" / "*.png")])) == ["sub/c"]
    assert relatives(find_inputs([str(folder / "s*")])) == ["sub/c", "sub/deep/d"]


def test_wildcards_in_a_name_that_exists_are_taken_literally(tmp_path: Path) -> None:
    (tmp_path / "a[1].tif").touch()
    assert relatives(find_inputs([str(tmp_path / "a[1].tif")])) == ["a[1]"]


def test_a_file_named_twice_is_one_input(folder: Path) -> None:
    names = [str(folder / "b.tif"), str(folder), os.path.relpath(folder / "b.tif")]
    assert len(find_inputs(names)) == 4


@pytest.mark.parametrize("argument", ["empty", "missing.tif", "*.nothing"])
def test_nothing_found_is_a_usage_error(tmp_path: Path, argument: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no images found") as caught:
        find_inputs([str(tmp_path / argument)])
    assert argument in caught.value.message


def test_what_is_missing_beside_others_fails_when_it_is_opened(folder: Path) -> None:
    (folder / "empty").mkdir()
    names = [str(folder / name) for name in ("b.tif", "missing.tif", "empty")]
    inputs = find_inputs(names)
    assert relatives(inputs) == ["b", "empty", "missing"]
    with pytest.raises(MudrockError, match="no such file"):
        open_micrograph(folder / "missing.tif")
    with pytest.raises(MudrockError, match="folder without images"):
        open_micrograph(folder / "empty")


def test_links_that_go_round_end(tmp_path: Path) -> None:
    (tmp_path / "a.tif").touch()
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert len(find_inputs([str(tmp_path)])) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe.tif")
    names = [item.path.name for item in find_inputs([str(folder)])]
    assert "pipe.tif" in names
    with pytest.raises(MudrockError, match=r"pipe\.tif"):
        open_micrograph(folder / "pipe.tif")


def test_two_inputs_of_one_name_collide(folder: Path) -> None:
    (folder / "A.png").touch()
    inputs = find_inputs([str(folder)])
    upper, lower = folder / "A.png", folder / "a.TIF"
    assert find_collisions(inputs) == {upper: lower, lower: upper}
    assert not find_collisions(item for item in inputs if item.path != upper)


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.mark.parametrize(
    ("images", "labels"),
    [("images", "labels"), ("JPEGImages", "SegmentationClassRaw")],
)
def test_two_folders(tmp_path: Path, images: str, labels: str) -> None:
    touch(tmp_path, f"{images}/a.jpg", f"{images}/deep/b.TIF", f"{images}/lonely.png")
    touch(tmp_path, f"{labels}/a.png", f"{labels}/deep/b.png", f"{labels}/c.png")
    found = [(pair.name, pair.image) for pair in find_pairs(tmp_path)]
    assert found == [
        ("a", tmp_path / images / "a.jpg"),
        ("c", None),
        ("deep/b", tmp_path / images / "deep" / "b.TIF"),
    ]


def test_masks_alone_without_what_lies_beside_them(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif", "a.overlay.png", "a.confidence.tif", "notes.txt", ".b.tif", "d.x.tif")
    assert [pair.name for pair in find_pairs(tmp_path)] == ["a", "d.x"]


def test_partner_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "a.overlay.png", "a.tif", "deep/b.PNG")
    assert find_partner(tmp_path, "a") == tmp_path / "a.tif"
    assert find_partner(tmp_path, "deep/b") == tmp_path / "deep" / "b.PNG"
    assert find_partner(tmp_path, "c") is None


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        find_pairs(tmp_path / "nowhere")
    touch(tmp_path, "labels/readme.md")
    with pytest.raises(UsageError, match="no label mask"):
        find_pairs(tmp_path)
    touch(tmp_path, "labels/a.png", "labels/a.tif")
    with pytest.raises(UsageError, match="same name"):
        find_pairs(tmp_path)
