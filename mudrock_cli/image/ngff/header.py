"""Check the header of a Zarr array before a byte of it is decoded."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.bad_input import refusing
from mudrock_cli.image.ngff.folder import locate, read_json

_PIECE_BYTES = 1 << 28
_MAX_PIECES = 1 << 22
_KINDS = "biuf"
_COMPRESSORS = {"blosc", "gzip", "zlib", "zstd", "lz4"}
_PLAIN = {"bytes", "transpose", "crc32c"}
_HINT = "write it again with chunks of about 1024 x 1024 numbers, compressed with zstd"


@dataclass(frozen=True)
class ArrayHeader:
    """What an array promises.

    Parameters
    ----------
    folder : Path
        Folder of the array.
    zarr_format : int
        2 or 3.
    shape : tuple of int
        Of the array.
    piece : tuple of int
        Of what is decoded at once: a chunk, or a chunk inside a shard.
    dtype : dtype
        Type of a number.
    codec : str
        Name of the compressor, empty for none.
    shard : int
        Pieces in a shard; 0 where there are no shards.
    index_first : bool
        The index of a shard stands at its start.
    has_fill : bool
        Chunks that are missing have a value.
    """

    folder: Path
    zarr_format: int
    shape: tuple[int, ...]
    piece: tuple[int, ...]
    dtype: "np.dtype[Any]"
    codec: str
    shard: int = 0
    index_first: bool = False
    has_fill: bool = True

    @property
    def piece_bytes(self) -> int:
        """Bytes of a decoded piece."""
        return math.prod(self.piece) * self.dtype.itemsize


def read_header(root: Path, folder: Path, path: str, zarr_format: int) -> ArrayHeader:
    """Read the header of an array and refuse what is no image, or would not fit into memory.

    Parameters
    ----------
    root : Path
        The store.
    folder : Path
        Folder of the group.
    path : str
        The array below it.
    zarr_format : int
        2 or 3.

    Raises
    ------
    MudrockError
        If there is no such array; numbers are of another kind; chunks are too large, too many,
        or encoded in a way that is not known.
    """
    place = locate(root, folder, path)
    found = read_json(root, place, "zarr.json" if zarr_format == 3 else ".zarray")
    if found is None:
        raise MudrockError(f"{place}: no Zarr array, though the metadata name it", "copy it again")
    with refusing(place, _HINT):
        header = (_parse_v3 if zarr_format == 3 else _parse_v2)(place, found)
    if len(header.piece) != len(header.shape) or min(header.shape + header.piece) < 1:
        raise MudrockError(f"{place}: chunks {header.piece} of an array {header.shape}", _HINT)
    if header.piece_bytes > _PIECE_BYTES:
        raise MudrockError(
            f"{place}: chunks of {header.piece_bytes / 1e6:.3g} MB each do not fit into memory",
            _HINT,
        )
    pairs = zip(header.shape, header.piece, strict=True)
    count = math.prod(-(-side // step) for side, step in pairs)
    if count > _MAX_PIECES:
        raise MudrockError(f"{place}: cut into {count:.3g} chunks", _HINT)
    return header


def _parse_v2(place: Path, found: Mapping[str, Any]) -> ArrayHeader:
    if found.get("filters"):
        raise MudrockError(f"{place}: filters are not supported", _HINT)
    compressor = found.get("compressor")
    codec = str(compressor.get("id")) if compressor is not None else ""
    if codec and codec not in _COMPRESSORS:
        raise MudrockError(f"{place}: compressor {codec} is not supported", _HINT)
    return ArrayHeader(
        folder=place,
        zarr_format=2,
        shape=_to_shape(found["shape"]),
        piece=_to_shape(found["chunks"]),
        dtype=_to_dtype(place, found.get("dtype")),
        codec=codec,
        has_fill=found.get("fill_value") is not None,
    )


def _parse_v3(place: Path, found: Mapping[str, Any]) -> ArrayHeader:
    grid = found["chunk_grid"]
    if grid["name"] != "regular" or found.get("storage_transformers"):
        raise MudrockError(f"{place}: its grid of chunks is not regular", _HINT)
    chunk = _to_shape(grid["configuration"]["chunk_shape"])
    codecs = [_name(codec) for codec in found["codecs"]]
    piece, shard, index_first = chunk, 0, False
    if "sharding_indexed" in codecs:
        if len(codecs) > 1:
            raise MudrockError(f"{place}: shards inside of {codecs} are not supported", _HINT)
        told = found["codecs"][0]["configuration"]
        piece = _to_shape(told["chunk_shape"])
        index = {_name(codec) for codec in told["index_codecs"]}
        if not index <= {"bytes", "crc32c"} or any(
            outer % inner for outer, inner in zip(chunk, piece, strict=True)
        ):
            raise MudrockError(f"{place}: shards of this kind are not supported", _HINT)
        shard = math.prod(outer // inner for outer, inner in zip(chunk, piece, strict=True))
        if shard > _MAX_PIECES:
            raise MudrockError(f"{place}: shards of {shard:.3g} chunks", _HINT)
        codecs = [_name(codec) for codec in told["codecs"]]
        index_first = told.get("index_location") == "start"
    compressors = [name for name in codecs if name not in _PLAIN]
    if len(compressors) > 1 or not _COMPRESSORS.issuperset(compressors):
        raise MudrockError(f"{place}: codecs {', '.join(codecs)} are not supported", _HINT)
    return ArrayHeader(
        folder=place,
        zarr_format=3,
        shape=_to_shape(found["shape"]),
        piece=piece,
        dtype=_to_dtype(place, found.get("data_type")),
        codec=compressors[0] if compressors else "",
        shard=shard,
        index_first=index_first,
    )


def _name(codec: object) -> str:
    return str(codec.get("name")) if isinstance(codec, dict) else str(codec)


def _to_shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(side) is int for side in value):
        raise ValueError(f"{value!r:.60} is no shape")
    return tuple(value)


def _to_dtype(place: Path, text: object) -> "np.dtype[Any]":
    """Return a type of numbers; objects, which would be unpickled, and all else are refused."""
    names = {"bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))}
    names |= {"float16", "float32", "float64"}
    plain = isinstance(text, str) and (
        text in names or (text[:1] in "<>|" and text[1:2] in _KINDS and text[2:] in "1248")
    )
    if not plain:
        raise MudrockError(f"{place}: holds {text!r:.40}, no numbers of an image", _HINT)
    return np.dtype(str(text))
