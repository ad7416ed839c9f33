"""OME-Zarr images of others, 0.4 and 0.5: windows, levels, pixel sizes, labels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import GZip, Zlib

from mudrock_cli.errors import MudrockError
from mudrock_cli.files import find_inputs, find_pairs, find_partner
from mudrock_cli.image.mask import PhaseMask, open_mask, write_mask
from mudrock_cli.image.micrograph import open_micrograph

Pixels = npt.NDArray[Any]
UM = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]


def describe(
    axes: list[dict[str, str]], scale: list[float], levels: int = 1, **more: Any
) -> dict[str, Any]:
    datasets = [
        {
            "path": str(number),
            "coordinateTransformations": [
                {"type": "scale", "scale": [*scale[:-2], *(s * 2**number for s in scale[-2:])]}
            ],
        }
        for number in range(levels)
    ]
    return {"multiscales": [{"axes": axes, "datasets": datasets} | more]}


def write_v5(path: Path, ome: dict[str, Any], arrays: list[Pixels], **options: Any) -> Path:
    group = zarr.open_group(
        path, mode="w", zarr_format=3, attributes={"ome": {"version": "0.5"} | ome}
    )
    for number, pixels in enumerate(arrays):
        group.create_array(str(number), data=pixels, **({"chunks": pixels.shape} | options))
    return path


def write_v4(path: Path, ome: dict[str, Any], arrays: list[Pixels], **options: Any) -> Path:
    for entry in ome.get("multiscales", []):
        entry.setdefault("version", "0.4")
    group = zarr.open_group(path, mode="w", zarr_format=2, attributes=ome)
    for number, pixels in enumerate(arrays):
        group.create_array(str(number), data=pixels, **({"chunks": pixels.shape} | options))
    return path


@pytest.mark.parametrize("write", [write_v4, write_v5])
def test_both_versions(tmp_path: Path, noise: Pixels, write: Any) -> None:
    ome = describe(UM, [0.01, 0.01], levels=2)
    write(tmp_path / "a.zarr", ome, [noise, noise[::2, ::2]], chunks=(16, 32))
    micrograph = open_micrograph(tmp_path / "a.zarr")
    np.testing.assert_array_equal(micrograph.grey(), noise)
    assert micrograph.pixel_size is not None
    assert micrograph.pixel_size.nm == pytest.approx(10)
    assert micrograph.pixel_size.source == "OME-Zarr scale"
    assert [level.shape for level in micrograph.reduced] == [(30, 45)]


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_windows_are_parts_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    shape = data.draw(st.tuples(st.integers(16, 50), st.integers(16, 50)))
    chunks = data.draw(st.tuples(st.integers(5, 60), st.integers(5, 60)))
    pixels = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    write = data.draw(st.sampled_from([write_v4, write_v5]))
    path = write(
        tmp_path_factory.mktemp("z") / "a.zarr", describe(UM, [1, 1]), [pixels], chunks=chunks
    )
    read = open_micrograph(path).read
    for _ in range(3):
        ends = [sorted(data.draw(st.tuples(*[st.integers(0, side)] * 2))) for side in shape]
        rows, columns = (slice(*pair) for pair in ends)
        np.testing.assert_array_equal(read(rows, columns), pixels[rows, columns])


@pytest.mark.parametrize(
    ("options", "write"),
    [
        ({"compressors": [GZip(1)]}, write_v4),
        ({"compressors": [Zlib(1)]}, write_v4),
        ({"compressors": None}, write_v4),
        ({"order": "F"}, write_v4),
        ({"compressors": [zarr.codecs.GzipCodec()]}, write_v5),
        ({"compressors": [zarr.codecs.BloscCodec()]}, write_v5),
        ({"compressors": None}, write_v5),
        ({"shards": (32, 64), "chunks": (16, 16)}, write_v5),
        ({"shards": (64, 96), "chunks": (64, 96)}, write_v5),
        ({"shards": (32, 64), "chunks": (16, 16), "compressors": None}, write_v5),
    ],
)
def test_encodings(tmp_path: Path, noise: Pixels, options: dict[str, Any], write: Any) -> None:
    path = write(tmp_path / "a.zarr", describe(UM, [1, 1]), [noise], **options)
    micrograph = open_micrograph(path)
    np.testing.assert_array_equal(micrograph.grey(), noise)
    np.testing.assert_array_equal(
        micrograph.read(slice(10, 40), slice(20, 70)), noise[10:40, 20:70]
    )


@pytest.mark.parametrize("dtype", ["u1", ">u2", "<u2", "u4", "i2", "f4", "f8"])
def test_types(tmp_path: Path, noise: Pixels, dtype: str) -> None:
    path = write_v4(tmp_path / "a.zarr", describe(UM, [1, 1]), [noise.astype(dtype)])
    grey = open_micrograph(path).grey()
    order = np.argsort(noise.ravel(), kind="stable")
    assert (np.diff(grey.ravel()[order].astype(int)) >= 0).all()
    assert np.ptp(grey) > 100


def test_five_axes_and_one_plane(tmp_path: Path, noise: Pixels) -> None:
    kinds = {"t": "time", "c": "channel", "z": "space"}
    axes = [{"name": name, "type": kind} for name, kind in kinds.items()] + UM
    path = write_v4(
        tmp_path / "a.zarr", describe(axes, [1, 1, 5, 0.02, 0.02]), [noise[None, None, None]]
    )
    micrograph = open_micrograph(path)
    np.testing.assert_array_equal(micrograph.grey(), noise)
    assert micrograph.pixel_size is not None
    assert micrograph.pixel_size.nm == pytest.approx(20)
    two = np.stack([noise, noise])[None, None]
    path = write_v4(tmp_path / "b.zarr", describe(axes, [1, 1, 5, 0.02, 0.02]), [two])
    with pytest.raises(MudrockError, match="2 entries along z, not one plane"):
        open_micrograph(path)


def test_three_channels_are_colours_where_the_file_says_so(tmp_path: Path, noise: Pixels) -> None:
    axes = [{"name": "c", "type": "channel"}, *UM]
    colours = {"omero": {"channels": [{"color": each} for each in ("FF0000", "00FF00", "0000FF")]}}
    ome = describe(axes, [1, 1, 1])
    path = write_v5(tmp_path / "a.zarr", ome | colours, [np.stack([noise] * 3)])
    np.testing.assert_array_equal(open_micrograph(path).grey(), noise)
    path = write_v5(tmp_path / "b.zarr", ome, [np.stack([noise] * 3)])
    with pytest.raises(MudrockError, match="3 entries along c"):
        open_micrograph(path)


@pytest.mark.parametrize(
    ("axes", "scale", "nm"),
    [
        (UM, [0.01, 0.01], 10),
        ([axis | {"unit": "nanometer"} for axis in UM], [4, 4], 4),
        ([UM[0], UM[1] | {"unit": "nanometer"}], [0.004, 4], 4),
        ([UM[0], {"name": "x", "type": "space"}], [0.01, 0.01], None),
        ([axis | {"unit": "pixel"} for axis in UM], [1, 1], None),
        (UM, [0.01, 0.02], None),
        (UM, [0.01, -0.01], None),
        (UM, [0.01, float("inf")], None),
        (UM, ["0.01", "0.01"], None),
        (UM, [True, True], None),
        (UM, [0.01], None),
        ([axis | {"unit": ["micrometer"]} for axis in UM], [1, 1], None),
    ],
)
def test_pixel_sizes(
    tmp_path: Path, noise: Pixels, axes: list[dict[str, str]], scale: list[Any], nm: float | None
) -> None:
    ome = describe(axes, [1.0, 1.0])
    ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] = scale
    path = write_v5(tmp_path / "a.zarr", {}, [noise])
    attributes = {"attributes": {"ome": {"version": "0.5"} | ome}}
    told = json.loads((path / "zarr.json").read_text()) | attributes
    (path / "zarr.json").write_text(json.dumps(told))
    micrograph = open_micrograph(path)
    found = micrograph.pixel_size
    assert (found.nm if found else None) == (pytest.approx(nm) if nm else None)
    if scale == [0.01, 0.02]:
        assert "not square" in micrograph.instrument["pixel_size_note"]


def test_a_scale_of_all_levels_counts(tmp_path: Path, noise: Pixels) -> None:
    common = [{"type": "scale", "scale": [0.5, 0.5]}]
    ome = describe(UM, [0.02, 0.02], coordinateTransformations=common)
    size = open_micrograph(write_v5(tmp_path / "a.zarr", ome, [noise])).pixel_size
    assert size is not None
    assert size.nm == pytest.approx(10)


def test_the_store_of_a_converter(tmp_path: Path, noise: Pixels) -> None:
    """Bioformats2raw writes each image of a file in a group of its own."""
    path = tmp_path / "a.zarr"
    zarr.open_group(path, mode="w", zarr_format=2, attributes={"bioformats2raw.layout": 3})
    write_v4(path / "0", describe(UM, [1, 1]), [noise])
    np.testing.assert_array_equal(open_micrograph(path).grey(), noise)
    assert find_inputs([str(path)])[0].path == path
    write_v4(path / "1", describe(UM, [1, 1]), [255 - noise])
    with pytest.raises(MudrockError, match="2 images in one store"):
        open_micrograph(path)
    inside = find_inputs([str(path / "1")])[0]
    np.testing.assert_array_equal(open_micrograph(inside.path).grey(), 255 - noise)


def test_labels_of_others(tmp_path: Path, phases: Pixels) -> None:
    path = write_v4(tmp_path / "a.zarr", describe(UM, [0.01, 0.01]), [phases])
    np.testing.assert_array_equal(open_mask(path).phases(), phases)
    zarr.open_group(path / "labels", mode="w", zarr_format=2, attributes={"labels": ["mine"]})
    label = write_v4(
        path / "labels" / "mine", describe(UM, [0.01, 0.01]), [phases.astype("<i4") % 255]
    )
    np.testing.assert_array_equal(open_mask(path).phases(), phases % 255)
    np.testing.assert_array_equal(open_mask(label).phases(), phases % 255)
    size = open_mask(path).pixel_size
    assert size is not None
    assert size.nm == pytest.approx(10)
    zarr.open_group(path / "labels", mode="a").attrs["labels"] = ["mine", "other"]
    with pytest.raises(MudrockError, match="its labels are mine, other"):
        open_mask(path)


def test_levels_of_foreign_masks_are_not_believed(tmp_path: Path, phases: Pixels) -> None:
    mean = phases[::2, ::2] // 2
    path = write_v5(tmp_path / "a.zarr", describe(UM, [1, 1], levels=2), [phases, mean])
    assert open_mask(path).reduced == ()


def test_a_folder_of_zarr_is_searched_and_an_image_is_not(tmp_path: Path, phases: Pixels) -> None:
    write_mask(tmp_path / "masks" / "a.zarr", PhaseMask.from_array("a", phases))
    write_mask(tmp_path / "masks" / "b.tif", PhaseMask.from_array("b", phases))
    write_v4(tmp_path / "masks" / "sub" / "c.zarr", describe(UM, [1, 1]), [phases])
    folder = str(tmp_path / "masks")
    names = [item.relative.as_posix() for item in find_inputs([folder], keep_masks=True)]
    assert names == ["a", "b", "sub/c"]
    assert [item.relative.as_posix() for item in find_inputs([folder])] == ["sub/c"]
    assert len(find_inputs([f"{folder}/*.zarr"], keep_masks=True)) == 1
    assert [pair.name for pair in find_pairs(tmp_path / "masks")] == ["a", "b", "sub/c"]
    assert find_partner(tmp_path / "masks", "a") == tmp_path / "masks" / "a.zarr"
    assert find_partner(tmp_path / "masks" / "a.zarr", "a") == tmp_path / "masks" / "a.zarr"
    assert find_partner(tmp_path / "masks" / "a.zarr", "b") is None
