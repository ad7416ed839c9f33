import errno
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from mudrock_cli.errors import MudrockError
from mudrock_cli.files import is_mudrock_mask
from mudrock_cli.image import mask as mask_writer
from mudrock_cli.image.mask import PhaseMask, create_mask, open_mask, write_mask
from mudrock_cli.image.micrograph import open_micrograph
from mudrock_cli.image.types import PixelSize, palette

Phases = npt.NDArray[np.uint8]
SIZE = PixelSize(134.896, "FEI tag 34682 [Scan] PixelWidth")
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(max_size=20)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
phase_arrays = hnp.arrays(
    np.uint8,
    st.tuples(st.integers(16, 80), st.integers(16, 80)),
    elements=st.sampled_from([0, 1, 2, 255]),
)


@settings(max_examples=40, deadline=None)
@given(phase_arrays, st.floats(0.01, 1e5), st.dictionaries(st.text(max_size=8), json_values))
def test_a_written_mask_comes_back(
    tmp_path_factory: pytest.TempPathFactory, values: Phases, nm: float, told: dict
) -> None:
    path = tmp_path_factory.mktemp("masks") / "a.tif"
    told = {key: value for key, value in told.items() if not key.startswith("pixel_size")}
    write_mask(path, PhaseMask.from_array("a", values, PixelSize(nm, "by hand"), told))
    mask = open_mask(path)
    np.testing.assert_array_equal(mask.phases(), values)
    assert mask.pixel_size == PixelSize(nm, "by hand")
    facts = {"pixel_size_nm": nm, "pixel_size_source": "by hand"}
    assert mask.provenance == told | facts


@pytest.mark.parametrize("shape", [(70, 110), (4200, 40), (40, 4200), (1100, 4097)])
def test_strips_and_tiles_hold_every_pixel(tmp_path: Path, shape: tuple[int, int]) -> None:
    values = np.random.default_rng(0).choice(np.array([0, 1, 2, 255], np.uint8), shape)
    write_mask(tmp_path / "a.tif", PhaseMask.from_array("a", values))
    mask = open_mask(tmp_path / "a.tif")
    np.testing.assert_array_equal(mask.phases(), values)
    np.testing.assert_array_equal(mask.read(slice(13, 31), slice(5, 36)), values[13:31, 5:36])
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.pages[0].is_tiled == (max(shape) > 4096)


def test_other_readers_see_phases_colours_and_size(tmp_path: Path, phases: Phases) -> None:
    path = tmp_path / "a.tif"
    write_mask(path, PhaseMask.from_array("a", phases, SIZE, {"method": "segment"}))
    with Image.open(path) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), phases)
        np.testing.assert_array_equal(np.array(image.getpalette()).reshape(-1, 3), palette())
        density = image.tag_v2[282]
        assert image.tag_v2[296] == 3
        assert 1e7 / float(density) == pytest.approx(SIZE.nm, rel=1e-6)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        np.testing.assert_array_equal(tiff.asarray(), phases)
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
        assert pixels["PhysicalSizeX"] == pytest.approx(SIZE.um)
        assert pixels["PhysicalSizeYUnit"] == "µm"
        # Bio-Formats (Fiji, QuPath) takes a mask for OME-TIFF only if its unit is spelled so.
        assert 'PhysicalSizeXUnit="µm"' in tiff.pages[0].description
        assert tiff.series[0].axes == "YX"


def test_the_same_mask_gives_the_same_bytes(tmp_path: Path, phases: Phases) -> None:
    mask = PhaseMask.from_array("a", phases, SIZE, {"b": 1, "a": "ä"})
    write_mask(tmp_path / "one" / "a.tif", mask)
    with create_mask(tmp_path / "two" / "a.tif", phases.shape, SIZE, {"a": "ä"}) as writer:
        for row in phases:
            writer.write_rows(row[None])
        writer.provenance.update(b=1)
    first, second = (tmp_path / name / "a.tif" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()


def test_a_mask_is_no_micrograph(tmp_path: Path, phases: Phases) -> None:
    path = tmp_path / "a.tif"
    write_mask(path, PhaseMask.from_array("a", phases))
    assert is_mudrock_mask(path)
    with pytest.raises(MudrockError, match="a mask written by mudrock"):
        open_micrograph(path)


def test_after_an_exception_nothing_is_left_and_the_old_mask_stays(
    tmp_path: Path, phases: Phases
) -> None:
    path = tmp_path / "a.tif"
    write_mask(path, PhaseMask.from_array("a", phases))
    before = path.read_bytes()

    def write_half() -> None:
        with create_mask(path, phases.shape, None, {}) as writer:
            writer.write_rows(phases[:30])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_mask_with_rows_missing_is_not_written(tmp_path: Path, phases: Phases) -> None:
    with (
        pytest.raises(ValueError, match="30 of 70 rows"),
        create_mask(tmp_path / "a.tif", phases.shape, None, {}) as writer,
    ):
        writer.write_rows(phases[:30])
    assert not list(tmp_path.iterdir())


def test_values_that_are_no_phase_are_not_written(tmp_path: Path, phases: Phases) -> None:
    with pytest.raises(ValueError, match="no phase"):
        write_mask(tmp_path / "a.tif", PhaseMask.from_array("a", phases + 1))


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, phases: Phases) -> None:
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / "a.tif"
    with pytest.raises(MudrockError, match="cannot be written") as caught:
        write_mask(path, PhaseMask.from_array("a", phases))
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, phases: Phases, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tifffile.TiffWriter, "write", fill)
    with pytest.raises(MudrockError, match="No space left"):
        write_mask(tmp_path / "a.tif", PhaseMask.from_array("a", phases))
    assert not list(tmp_path.iterdir())


def test_a_mask_without_pixel_size_says_so(tmp_path: Path, phases: Phases) -> None:
    write_mask(tmp_path / "a.tif", PhaseMask.from_array("a", phases))
    assert open_mask(tmp_path / "a.tif").pixel_size is None
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert "PhysicalSize" not in (tiff.ome_metadata or "")


def test_provenance_of_a_rescaled_mask_is_not_believed(tmp_path: Path, phases: Phases) -> None:
    write_mask(tmp_path / "a.tif", PhaseMask.from_array("a", phases, SIZE, {"method": "segment"}))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        description = tiff.pages[0].description
    tifffile.imwrite(
        tmp_path / "b.tif", phases[::2, ::2], description=description.encode(), metadata=None
    )
    half = open_mask(tmp_path / "b.tif")
    assert half.pixel_size is None
    assert not half.provenance


def test_past_four_gigabytes_a_mask_is_a_bigtiff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mask_writer, "BIG_BYTES", 1000)
    path = tmp_path / "a.tif"
    values = np.random.default_rng(0).choice(np.array([0, 1, 2, 255], np.uint8), (600, 4500))
    write_mask(path, PhaseMask.from_array("a", values, SIZE, {"method": "segment"}))
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_bigtiff
        assert tiff.pages[0].is_tiled
    mask = open_mask(path)
    np.testing.assert_array_equal(mask.phases(), values)
    assert mask.pixel_size == SIZE
    assert is_mudrock_mask(path)
