"""Levels of pyramids are read; maps are written by bands."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.micrograph import open_micrograph
from mudrock_cli.image.tiff import write_plane
from mudrock_cli.image.types import PixelSize

Grey = npt.NDArray[np.uint8]


@pytest.fixture
def mosaic() -> Grey:
    grey = np.random.default_rng(0).normal(120, 40, (300, 420)).clip(0, 255)
    return grey.astype(np.uint8)


def write_pyramid(path: Path, grey: npt.NDArray[np.generic], *, sub: bool, big: bool) -> None:
    """Write two smaller levels as SubIFDs, or as pages behind marked as reduced."""
    with tifffile.TiffWriter(path, bigtiff=big) as tiff:
        options = {"tile": (64, 64), "compression": "zlib", "metadata": None}
        tiff.write(grey, subifds=2 if sub else 0, **options)
        for step in (2, 4):
            tiff.write(grey[::step, ::step], subfiletype=1, **options)


@pytest.mark.parametrize("sub", [True, False])
@pytest.mark.parametrize("big", [True, False])
def test_the_full_level_is_the_image(tmp_path: Path, mosaic: Grey, sub: bool, big: bool) -> None:
    write_pyramid(tmp_path / "a.tif", mosaic, sub=sub, big=big)
    micrograph = open_micrograph(tmp_path / "a.tif")
    np.testing.assert_array_equal(micrograph.grey(), mosaic)
    window = micrograph.read(slice(50, 140), slice(100, 333))
    np.testing.assert_array_equal(window, mosaic[50:140, 100:333])
    assert [level.shape for level in micrograph.reduced] == [(150, 210), (75, 105)]
    for step, level in zip((2, 4), micrograph.reduced, strict=True):
        whole = level.read(slice(None), slice(None))
        np.testing.assert_array_equal(whole, mosaic[::step, ::step])


def test_levels_of_deep_images_are_grey_too(tmp_path: Path, mosaic: Grey) -> None:
    write_pyramid(tmp_path / "a.tif", mosaic.astype(np.uint16) * 200, sub=True, big=False)
    micrograph = open_micrograph(tmp_path / "a.tif")
    small = micrograph.reduced[0].read(slice(None), slice(None))
    assert small.dtype == np.uint8
    difference = small.astype(int) - micrograph.grey()[::2, ::2]
    assert np.abs(difference).max() <= 8


def test_a_smaller_page_of_another_field_is_no_level(tmp_path: Path, mosaic: Grey) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(mosaic, metadata=None)
        tiff.write(mosaic[:100, :200], subfiletype=1, metadata=None)
        tiff.write(np.zeros((150, 210, 3), np.uint8), subfiletype=1, metadata=None)
    assert open_micrograph(tmp_path / "a.tif").reduced == ()


def test_a_broken_level_is_done_without(tmp_path: Path, mosaic: Grey) -> None:
    path = tmp_path / "a.tif"
    write_pyramid(path, mosaic, sub=True, big=False)
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages[0].tags[330]
        first, offset = tag.value[0], tag.valueoffset
    data = bytearray(path.read_bytes())
    data[offset : offset + 4] = (len(data) + 1000).to_bytes(4, "little")
    assert first != len(data)
    path.write_bytes(data)
    np.testing.assert_array_equal(open_micrograph(path).grey(), mosaic)


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
        page = tiff.pages.first
        assert page.resolutionunit == tifffile.RESUNIT.CENTIMETER  # what ImageJ reads
        assert page.resolution == pytest.approx((800_000, 800_000))
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
