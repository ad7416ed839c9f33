"""Valid OME-Zarr of both versions, and some that promise or unfold to far too much."""

import json
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from hostile_bombs import deflate
from hostile_breaks import Case
from hostile_seeds import Seed

_SIDE = 96
_SECRETS = (b"0.0125", b"micrometer", b'"scale"', b'"unit"')


def make_zarr_seeds() -> list[Seed]:
    """Return an image of version 0.4, one of 0.5 with shards, and a mask of mudrock."""
    from mudrock_cli.image.mask import PhaseMask, write_mask
    from mudrock_cli.image.types import PixelSize

    rng = np.random.default_rng(3)
    grey = rng.normal(128, 30, (_SIDE, _SIDE)).clip(0, 255).astype(np.uint8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder / "a.zarr", grey, 2, chunks=(32, 32))
        _write(folder / "b.zarr", grey, 3, chunks=(16, 16), shards=(48, 48))
        phases = rng.choice(np.uint8([0, 1, 2, 255]), (_SIDE, _SIDE))
        mask = PhaseMask.from_array("m", phases, PixelSize(12.5, "test"), {"method": "segment"})
        write_mask(folder / "m.zarr", mask)
        files = {each.name: _gather(folder, each) for each in folder.iterdir()}
    pixels = (*_SECRETS, b"12.5")
    return [
        Seed("OME-Zarr 0.4", "micrograph", files["a.zarr"], 12.5, _SECRETS),
        Seed("OME-Zarr 0.5", "micrograph", files["b.zarr"], 12.5, _SECRETS),
        Seed("mask as OME-Zarr", "mask", files["m.zarr"], 12.5, pixels),
    ]


def make_zarr_bombs() -> list[Case]:
    """Return stores of a few bytes that promise far more."""
    cases = []
    for how, header, chunk in _bombs():
        files = {
            "a.zarr/.zgroup": b'{"zarr_format": 2}', "a.zarr/.zattrs": _describe(2),
            "a.zarr/0/.zarray": json.dumps(header).encode(), "a.zarr/0/0.0": chunk,
        }  # fmt: skip
        for reader in ("micrograph", "mask"):
            cases.append(Case(Seed("bombs in Zarr", reader, files), how, (None, 12.5)))
    texts = {
        "nested": b"[" * 200_000, "objects": b'{"a":' * 200_000,
        "digits": b'{"zarr_format": ' + b"9" * 5000, "30 MB": b" " * 30_000_000,
    }  # fmt: skip
    for how, text in texts.items():
        files = {"a.zarr/zarr.json": text}
        cases.append(Case(Seed("bombs in Zarr", "micrograph", files), f"metadata: {how}", (None,)))
    return cases


def _gather(folder: Path, store: Path) -> dict[str, bytes]:
    files = sorted(path for path in store.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _describe(version: int) -> bytes:
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    scale = [{"type": "scale", "scale": [0.0125, 0.0125]}]
    entry = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    if version == 2:
        told: dict[str, Any] = {"multiscales": [{"version": "0.4", **entry}]}
    else:
        ome = {"version": "0.5", "multiscales": [entry]}
        told = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    return json.dumps(told, indent=1).encode()


def _write(place: Path, grey: Any, version: Any, **layout: Any) -> None:
    array = zarr.create_array(
        place / "0", shape=grey.shape, dtype=grey.dtype, zarr_format=version, **layout
    )
    array[:] = grey
    if version == 2:
        (place / ".zgroup").write_text('{"zarr_format": 2}')
        (place / ".zattrs").write_bytes(_describe(2))
    else:
        (place / "zarr.json").write_bytes(_describe(3))


def _bombs() -> Iterator[tuple[str, dict[str, Any], bytes]]:
    plain: dict[str, Any] = {
        "zarr_format": 2, "shape": [64, 64], "chunks": [64, 64], "dtype": "|u1", "fill_value": 0,
        "order": "C", "filters": None, "compressor": {"id": "zlib", "level": 1},
    }  # fmt: skip
    zeros = deflate(1 << 30)
    yield "a chunk of 4 KB that unfolds to 1 GB", plain, zeros
    yield "a chunk of 900 MB", {**plain, "shape": [30_000] * 2, "chunks": [30_000] * 2}, zeros
    yield "10 gigapixels", {**plain, "shape": [100_000] * 2}, zeros[:5000]
    yield "a trillion chunks", {**plain, "shape": [40_000] * 2, "chunks": [1, 1]}, b"x"
    yield "16 rows of 100 million", {**plain, "shape": [16, 10**8], "chunks": [16, 10**7]}, zeros
    yield "400 megapixels of fill", {**plain, "shape": [20_000] * 2, "chunks": [256, 256]}, zeros
    yield "objects", {**plain, "dtype": "|O"}, b"cos\nsystem\n(S'touch marker'\ntR."
    blosc = struct.pack("<BBBBIII", 2, 1, 0x21, 1, 1 << 30, 1 << 20, 16)
    yield "blosc of 1 GB", {**plain, "compressor": {"id": "blosc", "cname": "lz4", "clevel": 5,
                                                    "shuffle": 1}}, blosc  # fmt: skip
    import imagecodecs

    zstd = imagecodecs.zstd_encode(bytes(1 << 29), level=1)
    yield "zstd of 512 MB", {**plain, "compressor": {"id": "zstd", "level": 1}}, zstd
    lz4 = struct.pack("<I", 1 << 30) + b"\x1f\0\1\0" + b"\xff" * 4000
    yield "LZ4 of 1 GB", {**plain, "compressor": {"id": "lz4", "acceleration": 1}}, lz4
