"""Masks as labels of an OME-Zarr: written, read back, and read by others."""

import errno
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from ome_zarr_models import open_ome_zarr
from ome_zarr_models.v05 import Image, ImageLabel

from mudrock_cli.errors import MudrockError
from mudrock_cli.image import ome_zarr as pyramid
from mudrock_cli.image.mask import PhaseMask, create_mask, open_mask, write_mask
from mudrock_cli.image.micrograph import Micrograph, open_micrograph
from mudrock_cli.image.ome_zarr import write_instances
from mudrock_cli.image.types import COLOURS, PixelSize

Phases = npt.NDArray[np.uint8]
SIZE = PixelSize(12.5, "FEI tag 34682 [Scan] PixelWidth")


def write_with_grey(path: Path, phases: Phases, grey: npt.NDArray[np.uint8]) -> None:
    micrograph = Micrograph.from_array("a", grey, SIZE)
    told = {"software": "mudrock", "input": {"name": "a"}}
    with create_mask(path, phases.shape, SIZE, told, micrograph.read) as writer:
        writer.write_rows(phases[:25])
        writer.write_rows(phases[25:])
        writer.provenance["results"] = {"pore_fraction": 0.25}


@settings(max_examples=15, deadline=None)
@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(16, 90), st.integers(16, 90)),
        elements=st.sampled_from([0, 1, 2, 255]),
    ),
    st.sampled_from([16, 32, 64]),
    st.lists(st.integers(0, 30), max_size=4),
    st.floats(0.01, 1e5),
)
def test_a_mask_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    phases: Phases,
    chunk: int,
    cuts: list[int],
    nm: float,
) -> None:
    path = tmp_path_factory.mktemp("masks") / "a.zarr"
    size = PixelSize(nm, "by hand")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyramid, "CHUNK", chunk)
        with create_mask(path, phases.shape, size, {"method": "segment", "ü": [1]}) as writer:
            for band in np.split(phases, sorted(min(cut, len(phases)) for cut in cuts)):
                writer.write_rows(band)
    mask = open_mask(path)
    np.testing.assert_array_equal(mask.phases(), phases)
    assert mask.pixel_size == size
    facts = {"pixel_size_nm": nm, "pixel_size_source": "by hand"}
    assert mask.provenance == {"method": "segment", "ü": [1]} | facts
    rows, columns = slice(7, len(phases) - 3), slice(5, 12)
    np.testing.assert_array_equal(mask.read(rows, columns), phases[rows, columns])
    for number, level in enumerate(mask.reduced, 1):
        expected = phases[:: 2**number, :: 2**number]
        np.testing.assert_array_equal(level.read(slice(None), slice(None)), expected)


def test_the_micrograph_is_in_it(tmp_path: Path, phases: Phases) -> None:
    grey = np.random.default_rng(0).integers(0, 255, phases.shape).astype(np.uint8)
    write_with_grey(tmp_path / "a.zarr", phases, grey)
    micrograph = open_micrograph(tmp_path / "a.zarr")
    np.testing.assert_array_equal(micrograph.grey(), grey)
    assert micrograph.pixel_size == PixelSize(12.5, "OME-Zarr scale")
    np.testing.assert_array_equal(open_mask(tmp_path / "a.zarr").phases(), phases)


def test_levels_of_the_micrograph_are_means(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 255, (1031, 777)).astype(np.uint8)
    write_with_grey(tmp_path / "a.zarr", np.zeros_like(grey), grey)
    first, second = open_micrograph(tmp_path / "a.zarr").reduced
    small = first.read(slice(None), slice(None))
    assert (small.shape, second.shape) == ((516, 389), (258, 195))
    blocks = grey[:1030, :776].reshape(515, 2, 388, 2).mean(axis=(1, 3))
    assert np.abs(small[:515, :388] - blocks).max() <= 0.5


def test_metadata_are_these(tmp_path: Path, phases: Phases) -> None:
    write_with_grey(tmp_path / "a.zarr", phases, phases)
    root = zarr.open_group(tmp_path / "a.zarr", mode="r")
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]
    scale = [{"type": "scale", "scale": [0.0125, 0.0125]}]
    levels = [{"path": "0", "coordinateTransformations": scale}]
    shown = {"name": "a", "axes": axes, "datasets": levels, "type": "mean"}
    assert root.attrs.asdict() == {
        "ome": {"version": "0.5", "multiscales": [shown]},
        "mudrock": {
            "software": "mudrock",
            "input": {"name": "a"},
            "pixel_size_nm": 12.5,
            "pixel_size_source": SIZE.source,
        },
    }
    assert root["labels"].attrs.asdict() == {"ome": {"version": "0.5", "labels": ["phases"]}}
    label = root["labels/phases"].attrs.asdict()
    assert label["ome"] == {
        "version": "0.5",
        "multiscales": [shown | {"name": "phases", "type": "nearest"}],
        "image-label": {
            "colors": [
                {"label-value": 0, "rgba": [128, 128, 128, 255]},
                {"label-value": 1, "rgba": [220, 40, 40, 255]},
                {"label-value": 2, "rgba": [40, 180, 60, 255]},
                {"label-value": 255, "rgba": [0, 0, 0, 255]},
            ],
            "properties": [
                {"label-value": int(phase), "phase": phase.name.lower()} for phase in COLOURS
            ],
            "source": {"image": "../../"},
        },
    }
    assert label["mudrock"] == {
        "software": "mudrock",
        "input": {"name": "a"},
        "results": {"pore_fraction": 0.25},
        "pixel_size_nm": 12.5,
        "pixel_size_source": SIZE.source,
    }
    array = root["labels/phases/0"]
    assert array.dtype == np.uint8
    assert array.metadata.dimension_names == ("y", "x")


@pytest.mark.parametrize("shape", [(70, 110), (1100, 600)])
@pytest.mark.parametrize("with_grey", [True, False])
@pytest.mark.filterwarnings("ignore")  # the validator's own
def test_a_validator_of_the_format_finds_it_right(
    tmp_path: Path, shape: tuple[int, int], with_grey: bool
) -> None:
    phases = np.random.default_rng(0).choice(np.array([0, 1, 2, 255], np.uint8), shape)
    path = tmp_path / "a.zarr"
    if with_grey:
        write_with_grey(path, phases, phases)
    else:
        write_mask(path, PhaseMask.from_array("a", phases, SIZE))
    image = open_ome_zarr(zarr.open_group(path, mode="r"))
    assert isinstance(image, Image)
    assert image.labels is not None
    assert image.labels.label_paths == ["phases"]
    label = ImageLabel.from_zarr(zarr.open_group(path / "labels" / "phases", mode="r"))
    colours = label.attributes.ome.image_label.colors
    assert {(each.label_value, tuple(each.rgba)) for each in colours} == {
        (int(phase), (*colour, 255)) for phase, colour in COLOURS.items()
    }


def test_without_a_pixel_size_axes_have_no_unit(tmp_path: Path, phases: Phases) -> None:
    write_mask(tmp_path / "a.zarr", PhaseMask.from_array("a", phases))
    assert open_mask(tmp_path / "a.zarr").pixel_size is None
    entry = zarr.open_group(tmp_path / "a.zarr", mode="r").attrs["ome"]["multiscales"][0]
    assert all("unit" not in axis for axis in entry["axes"])


def test_provenance_that_speaks_of_other_pixels_is_not_believed(
    tmp_path: Path, phases: Phases
) -> None:
    path = tmp_path / "a.zarr"
    write_mask(path, PhaseMask.from_array("a", phases, SIZE, {"method": "segment"}))
    attributes = zarr.open_group(path / "labels" / "phases", mode="a").attrs
    ome = attributes.asdict()["ome"]
    entry = ome["multiscales"][0]
    entry["datasets"][0]["coordinateTransformations"][0]["scale"] = [0.025, 0.025]
    attributes["ome"] = ome
    assert open_mask(path).pixel_size is None
    assert not open_mask(path).provenance
    attributes["mudrock"] = {"method": "segment"}  # somebody calibrated it
    size = open_mask(path).pixel_size
    assert size is not None
    assert (size.nm, size.source) == (pytest.approx(25), "OME-Zarr scale")
    np.testing.assert_array_equal(open_mask(path).phases(), phases)


def test_same_mask_same_bytes(tmp_path: Path, phases: Phases) -> None:
    mask = PhaseMask.from_array("a", phases, SIZE, {"b": 1, "a": 2})
    for folder in ("one", "two"):
        write_mask(tmp_path / folder / "a.zarr", mask)
    one, two = (
        {
            path.relative_to(tmp_path / folder): path.read_bytes()
            for path in (tmp_path / folder).rglob("*")
            if path.is_file()
        }
        for folder in ("one", "two")
    )
    assert one == two


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(errno.ENOSPC, "disk is full")])
def test_after_a_failure_the_mask_before_stays_and_nothing_else(
    tmp_path: Path, phases: Phases, failure: BaseException
) -> None:
    path = tmp_path / "a.zarr"
    write_mask(path, PhaseMask.from_array("a", phases, SIZE, {"number": 1}))
    expected = MudrockError if isinstance(failure, OSError) else KeyboardInterrupt

    def fail_midway() -> None:
        with create_mask(path, phases.shape, SIZE, {}) as writer:
            writer.write_rows(phases[:20])
            raise failure

    with pytest.raises(expected):
        fail_midway()
    assert [child.name for child in tmp_path.iterdir()] == ["a.zarr"]
    assert open_mask(path).provenance["number"] == 1


def test_too_few_rows_leave_nothing(tmp_path: Path, phases: Phases) -> None:
    with (
        pytest.raises(ValueError, match="20 of 70 rows"),
        create_mask(tmp_path / "a.zarr", phases.shape, SIZE, {}) as writer,
    ):
        writer.write_rows(phases[:20])
    assert not list(tmp_path.iterdir())


def test_a_mask_is_replaced_and_other_data_are_not(tmp_path: Path, phases: Phases) -> None:
    path = tmp_path / "a.zarr"
    for number in (1, 2):
        write_mask(path, PhaseMask.from_array("a", phases, SIZE, {"number": number}))
    assert open_mask(path).provenance["number"] == 2
    foreign = tmp_path / "mine.zarr"
    zarr.open_group(foreign, mode="w").create_array("0", shape=(4, 4), dtype="u1")
    with pytest.raises(MudrockError, match="not mudrock's"):
        write_mask(foreign, PhaseMask.from_array("a", phases))
    assert (foreign / "0" / "zarr.json").is_file()
    (tmp_path / "file.zarr").write_text("mine")
    with pytest.raises(MudrockError, match="not mudrock's"):
        write_mask(tmp_path / "file.zarr", PhaseMask.from_array("a", phases))


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@pytest.mark.filterwarnings("ignore")  # the validator's own
def test_instances(tmp_path: Path, dtype: type) -> None:
    labels = np.arange(600 * 1100, dtype=dtype).reshape(600, 1100)
    if dtype is np.uint64:
        labels += 1 << 40

    def bands() -> Iterator[npt.NDArray[np.generic]]:
        yield from np.array_split(labels, 7)

    path = tmp_path / "a.instances.zarr"
    write_instances(path, labels.shape, dtype, bands(), SIZE, {"method": "segment"})
    stored = zarr.open_group(path, mode="r")["labels/instances/0"]
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored[:], labels)
    ImageLabel.from_zarr(zarr.open_group(path / "labels" / "instances", mode="r"))
    with pytest.raises(MudrockError, match="holds labels, no micrograph"):
        open_micrograph(path)
    with pytest.raises(MudrockError, match="no phase mask"):
        open_mask(path).phases()
