"""Broken and hostile stores: a line that names the place, never a guess, a hang or a bomb."""

import gzip
import json
import os
import pickle
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
import zarr

from mudrock_cli.errors import MudrockError
from mudrock_cli.files import hash_file
from mudrock_cli.image.mask import PhaseMask, open_mask, write_mask
from mudrock_cli.image.micrograph import open_micrograph

Grey = npt.NDArray[np.uint8]
AXES = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]
SCALE = [{"type": "scale", "scale": [0.01, 0.01]}]
ZSTD = {"name": "zstd", "configuration": {"level": 0, "checksum": False}}
GZIP = {"name": "gzip", "configuration": {"level": 1}}
ENTRY = {"axes": AXES, "datasets": [{"path": "0", "coordinateTransformations": SCALE}]}


@pytest.fixture
def third(tmp_path: Path, noise: Grey) -> Path:
    """An image in Zarr 3."""
    ome = {"ome": {"version": "0.5", "multiscales": [ENTRY]}}
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3, attributes=ome)
    group.create_array("0", data=noise, chunks=(32, 32))
    return tmp_path / "a.zarr"


@pytest.fixture
def second(tmp_path: Path, noise: Grey) -> Path:
    """An image in Zarr 2."""
    ome = {"multiscales": [ENTRY | {"version": "0.4"}]}
    group = zarr.open_group(tmp_path / "b.zarr", mode="w", zarr_format=2, attributes=ome)
    group.create_array("0", data=noise, chunks=(32, 32))
    return tmp_path / "b.zarr"


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    told = json.loads(path.read_text())
    edit(told)
    path.write_text(json.dumps(told))


def refuse(path: Path, match: str) -> None:
    with pytest.raises(MudrockError, match=match) as caught:
        open_micrograph(path).grey()
    assert "\n" not in caught.value.message
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        ({"data_type": "string"}, "cannot be read"),
        ({"data_type": {"name": "struct"}}, "cannot be read"),
        ({"data_type": "complex64"}, "cannot be read"),
        ({"shape": [60]}, "cannot be read"),
        ({"shape": [60, -90]}, "cannot be read"),
        ({"shape": [60, 1e3]}, "cannot be read"),
        ({"shape": None}, "cannot be read"),
        ({"shape": [10**6, 10**6]}, "cut into"),
        ({"codecs": [{"name": "numcodecs.pickle"}]}, "cannot be read"),
        ({"codecs": [{"name": "bytes"}, {"name": "zstd"}, {"name": "gzip"}]}, "cannot be read"),
        ({"codecs": [{"name": "bytes"}, ZSTD, GZIP]}, "codecs zstd, gzip are not supported"),
        ({"data_type": "complex64", "fill_value": [0, 0]}, "no numbers of an image"),
        ({"codecs": []}, "cannot be read"),
        ({"codecs": 7}, "cannot be read"),
        ({"storage_transformers": [{"name": "x"}]}, "cannot be read"),
        ({"chunk_grid": {"name": "rectilinear"}}, "cannot be read"),
        ({"chunk_grid": 3}, "cannot be read"),
        ({"node_type": "group"}, "cannot be read"),
    ],
)
def test_headers_of_zarr_3(third: Path, edit: dict[str, Any], match: str) -> None:
    change(third / "0" / "zarr.json", lambda told: told.update(edit))
    refuse(third, match)


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        ({"dtype": "|O", "filters": [{"id": "pickle"}]}, "cannot be read"),
        ({"dtype": "|O"}, "cannot be read"),
        ({"dtype": [["a", "<u1"]]}, "cannot be read"),
        ({"dtype": "<U4"}, "cannot be read"),
        ({"dtype": "<M8"}, "cannot be read"),
        ({"compressor": {"id": "pickle"}}, "cannot be read"),
        ({"compressor": {"id": "lzma"}}, "codecs lzma are not supported"),
        ({"filters": [{"id": "delta", "dtype": "|u1"}]}, "codecs Delta.* are not supported"),
        ({"dtype": "<c8"}, "no numbers of an image|cannot be read"),
        ({"compressor": "zstd"}, "cannot be read"),
        ({"chunks": [0, 32]}, "chunks"),
        ({"chunks": [32]}, "chunks"),
    ],
)
def test_headers_of_zarr_2(second: Path, edit: dict[str, Any], match: str) -> None:
    change(second / "0" / ".zarray", lambda told: told.update(edit))
    refuse(second, match)


def test_an_object_array_is_never_unpickled(tmp_path: Path, second: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    change(
        second / "0" / ".zarray",
        lambda told: told.update(dtype="|O", compressor={"id": "pickle"}, filters=None),
    )
    for chunk in (second / "0").glob("[0-9]*"):
        chunk.write_bytes(pickle.dumps(np.array([Trap()], object)))
    refuse(second, "cannot be read")
    assert not (tmp_path / "sprung").exists()


def test_large_shapes_and_large_chunks(third: Path, tmp_path: Path) -> None:
    header = third / "0" / "zarr.json"
    large = {"chunk_shape": [40_000, 40_000]}
    change(header, lambda told: told["chunk_grid"].update(configuration=large))
    refuse(third, "chunks of 1.6e\\+03 MB each do not fit into memory")
    large = {"chunk_shape": [1000, 1000]}
    change(header, lambda told: told["chunk_grid"].update(configuration=large))
    change(header, lambda told: told.update(shape=[100_000, 100_000]))
    refuse(third, "promises 1e\\+10 pixels")
    change(header, lambda told: told.update(shape=[20_000, 20_000]))
    refuse(third, "looks like a bomb")


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        ({"multiscales": None}, "no multiscales"),
        ({"multiscales": [7]}, "axes none"),
        ({"version": "0.6"}, "OME-Zarr 0.6; known are 0.4 and 0.5"),
        ({"multiscales": [ENTRY | {"axes": ["y", "x"]}]}, "axes None, None"),
        ({"multiscales": [ENTRY | {"axes": AXES[::-1]}]}, "axes x, y"),
        ({"multiscales": [ENTRY | {"axes": [*AXES, *AXES]}]}, "axes y, x, y, x"),
        ({"multiscales": [ENTRY | {"datasets": []}]}, "name no arrays"),
        ({"multiscales": [ENTRY | {"datasets": [{"path": 3}]}]}, "name no arrays"),
        ({"multiscales": [ENTRY | {"datasets": [{"path": "7"}]}]}, "no Zarr array"),
        ({"multiscales": [ENTRY | {"datasets": [{"path": "../b.zarr/0"}]}]}, "leads out of"),
        ({"multiscales": [ENTRY | {"datasets": [{"path": "/etc"}]}]}, "leads out of"),
        ({"multiscales": [ENTRY | {"datasets": [{"path": "0\0"}]}]}, "cannot be read|leads out"),
    ],
)
def test_attributes(third: Path, edit: dict[str, Any], match: str) -> None:
    change(third / "zarr.json", lambda told: told["attributes"]["ome"].update(edit))
    refuse(third, match)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": NaN', "[" * 100_000, "\x00\xff"])
def test_broken_json(third: Path, text: str) -> None:
    (third / "zarr.json").write_text(text, "latin-1")
    refuse(third, "cannot be read|no JSON object")


def test_what_is_no_store(tmp_path: Path, third: Path) -> None:
    (tmp_path / "empty.zarr").mkdir()
    refuse(tmp_path / "empty.zarr", "neither zarr.json nor .zattrs")
    refuse(third / "0", "a bare Zarr array")
    plain = tmp_path / "plain.zarr"
    zarr.open_group(plain, mode="w").create_array("0", shape=(40, 40), dtype="u1")
    refuse(plain, "no multiscales")
    zarr.open_group(plain, mode="a").attrs["ome"] = {"version": "0.5", "plate": {}}
    refuse(plain, "a plate of many images")
    (third / "zarr.json").unlink()
    os.mkfifo(third / "zarr.json")
    refuse(third, "not a file")


def test_links_do_not_lead_out(tmp_path: Path, third: Path) -> None:
    outside = tmp_path / "secret"
    shutil.move(third / "0" / "c" / "0" / "0", outside)
    (third / "0" / "c" / "0" / "0").symlink_to(outside)
    refuse(third, "leads out of")
    with pytest.raises(MudrockError, match="leads out of"):
        hash_file(third)
    inside = tmp_path / "link.zarr"
    (third / "0" / "c" / "0" / "0").unlink()
    shutil.move(outside, third / "0" / "c" / "0" / "moved")
    (third / "0" / "c" / "0" / "0").symlink_to("moved")
    inside.symlink_to(third)
    assert open_micrograph(inside).grey().shape == (60, 90)


def test_a_folder_outside_by_a_link(tmp_path: Path, third: Path) -> None:
    shutil.move(third / "0", tmp_path / "0")
    (third / "0").symlink_to(tmp_path / "0")
    refuse(third, "leads out of")


def test_pipes_are_not_read(third: Path) -> None:
    (third / "0" / "c" / "0" / "0").unlink()
    os.mkfifo(third / "0" / "c" / "0" / "0")
    refuse(third, "not a file")


@pytest.mark.parametrize("keep", [0, 1, 5, 20, 300])
@pytest.mark.parametrize("codec", ["gzip", "zstd", "blosc", ""])
def test_truncated_chunks(tmp_path: Path, noise: Grey, codec: str, keep: int) -> None:
    made = {
        "gzip": zarr.codecs.GzipCodec(),
        "zstd": zarr.codecs.ZstdCodec(),
        "blosc": zarr.codecs.BloscCodec(),
        "": None,
    }[codec]
    ome = {"ome": {"version": "0.5", "multiscales": [ENTRY]}}
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3, attributes=ome)
    group.create_array("0", data=noise, chunks=(32, 32), compressors=made)
    chunk = tmp_path / "a.zarr" / "0" / "c" / "1" / "1"
    chunk.write_bytes(chunk.read_bytes()[:keep])
    refuse(tmp_path / "a.zarr", "0")


def test_missing_chunks_hold_the_fill_value(third: Path, noise: Grey) -> None:
    (third / "0" / "c" / "1" / "1").unlink()
    expected = noise.copy()
    expected[32:, 32:64] = 0
    np.testing.assert_array_equal(open_micrograph(third).grey(), expected)
    shutil.rmtree(third / "0" / "c")
    refuse(third, "not one chunk of it is there")


def test_missing_chunks_without_fill_value_are_an_error(second: Path) -> None:
    (second / "0" / "1.1").unlink()
    change(second / "0" / ".zarray", lambda told: told.update(fill_value=None))
    refuse(second, "1.1: this chunk is missing")


def test_missing_and_flipped_chunks_of_a_mask(tmp_path: Path) -> None:
    values = np.random.default_rng(0).choice(np.array([0, 1, 2], np.uint8), (600, 600))
    write_mask(tmp_path / "a.zarr", PhaseMask.from_array("a", values))
    chunk = tmp_path / "a.zarr" / "labels" / "phases" / "0" / "c" / "1" / "0"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(MudrockError, match="cannot be read"):
        open_mask(tmp_path / "a.zarr").phases()
    chunk.unlink()
    with pytest.raises(MudrockError, match="c/1/0: this chunk is missing"):
        open_mask(tmp_path / "a.zarr").phases()


def _blosc(promised: int) -> bytes:
    data = bytearray(imagecodecs.blosc_encode(bytes(5000)))
    struct.pack_into("<I", data, 4, promised)
    return bytes(data)


@pytest.mark.parametrize(
    ("codec", "data"),
    [
        ("gzip", gzip.compress(bytes(50_000_000))),
        ("gzip", gzip.compress(bytes(10)) + gzip.compress(bytes(50_000_000))),
        ("zlib", zlib.compress(bytes(50_000_000))),
        ("zstd", imagecodecs.zstd_encode(bytes(50_000_000))),
        ("lz4", struct.pack("<I", 2_000_000_000) + bytes(20)),
        ("blosc", _blosc(2_000_000_000)),
        ("", bytes(50_000_000)),
    ],
)
def test_chunks_that_expand(second: Path, codec: str, data: bytes) -> None:
    made = {"id": codec} if codec else None
    change(second / "0" / ".zarray", lambda told: told.update(compressor=made))
    for chunk in (second / "0").glob("[0-9]*"):
        chunk.write_bytes(data)
    refuse(second, "bomb|do not hold its chunk")


def test_shards_that_lie(tmp_path: Path, noise: Grey) -> None:
    ome = {"ome": {"version": "0.5", "multiscales": [ENTRY]}}
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3, attributes=ome)
    gz = zarr.codecs.GzipCodec()
    group.create_array("0", data=noise, chunks=(32, 32), shards=(64, 96), compressors=gz)
    shard = tmp_path / "a.zarr" / "0" / "c" / "0" / "0"
    data = shard.read_bytes()
    bomb = gzip.compress(bytes(50_000_000))
    index = np.frombuffer(data[-100:-4], "<u8").reshape(-1, 2).copy()
    for entry in ((0, len(bomb)), (0, 1 << 40), (1 << 50, 10)):
        index[:] = entry
        raw = index.tobytes()
        check = struct.pack("<I", google_crc32c.value(raw))
        shard.write_bytes(bomb + data[len(bomb) : -100] + raw + check)
        refuse(tmp_path / "a.zarr", "bomb|do not hold its chunk")
    shard.write_bytes(data[:50])
    refuse(tmp_path / "a.zarr", "do not hold its chunk|cannot be read")


def test_a_level_that_lies_is_done_without(third: Path, noise: Grey) -> None:
    levels = [*ENTRY["datasets"], {"path": "../x"}, {"path": "0"}, {"path": "gone"}]
    change(
        third / "zarr.json",
        lambda told: told["attributes"]["ome"]["multiscales"][0].update(datasets=levels),
    )
    micrograph = open_micrograph(third)
    np.testing.assert_array_equal(micrograph.grey(), noise)
    assert micrograph.reduced == ()
