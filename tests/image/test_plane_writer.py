from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.tiff import write_plane
from mudrock_cli.image.types import PixelSize


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 90),
    step=st.integers(1, 200),
    kind=st.sampled_from(["uint8", "uint32"]),
)
def test_bands_of_any_height_come_back(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, step: int, kind: str
) -> None:
    path = tmp_path_factory.mktemp("plane") / "x.tif"
    plane = np.random.default_rng(0).integers(0, 2**31, (height, width)).astype(kind)
    bands = (plane[top : top + step] for top in range(0, height, step))
    write_plane(path, plane.shape, kind, bands, PixelSize(12.5, "test"))
    with tifffile.TiffFile(path) as tiff:
        assert np.array_equal(tiff.asarray().reshape(plane.shape), plane)
        assert 'PhysicalSizeX="0.0125"' in str(tiff.ome_metadata)
    assert list(path.parent.iterdir()) == [path]


def test_nothing_is_left_of_a_failure(tmp_path: Path) -> None:
    def broken() -> Iterator[npt.NDArray[np.uint8]]:
        yield np.zeros((70, 10), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_plane(tmp_path / "x.tif", (100, 10), "uint8", broken(), None)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(MudrockError, match="cannot be written"):
        write_plane(tmp_path / "file" / "x.tif", (1, 1), "uint8", [np.zeros((1, 1))], None)


def test_the_same_map_has_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_plane(tmp_path / name, (3, 4), "uint8", [np.ones((3, 4), np.uint8)], None)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
