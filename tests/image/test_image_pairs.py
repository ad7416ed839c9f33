"""Labels and micrographs are paired by name, in every layout."""

from pathlib import Path

import pytest

from mudrock_cli.errors import UsageError
from mudrock_cli.files import find_pairs, find_partner


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
