"""Check the header of a Zarr array before a byte of it is decoded."""

import contextlib
import math
import struct
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import zarr
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype

from mudrock_cli.errors import MudrockError, reading
from mudrock_cli.files import METADATA, PROVENANCE, count_bytes, locate, read_json, size_of
from mudrock_cli.image.limits import check_expansion, check_header
from mudrock_cli.image.ome_zarr_metadata import (
    PHASES,
    Group,
    Multiscale,
    find_image,
    read_multiscale,
)
from mudrock_cli.image.pixel_size import stored_pixel_size
from mudrock_cli.image.samples import Colours, Samples, is_reduced
from mudrock_cli.image.tiles import PieceCache
from mudrock_cli.image.types import Box, Facts

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
    with reading(place, _HINT):
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


# A read-only Zarr store that looks at each encoded chunk before zarr decodes it.

_SLACK = 1 << 16
"""Bytes by which an encoded piece may exceed the piece: checksums and headers."""
_HINT_STORE = "the store is incomplete or broken: copy or export it again"
_NONE = (1 << 64) - 1
_ZSTD = b"\x28\xb5\x2f\xfd"


class CheckedStore(Store):
    """The files of one array, nothing else; missing, truncated and lying chunks are refused.

    Parameters
    ----------
    root : Path
        The store that nothing may lead out of.
    header : ArrayHeader
        The array.
    complete : bool
        Every chunk must be there; else a missing one holds the fill value, as Zarr has it.
    """

    def __init__(self, root: Path, header: ArrayHeader, *, complete: bool) -> None:
        super().__init__(read_only=True)
        self._root, self._header = root, header
        self._complete = complete or not header.has_fill

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return a file, or a part of it; None where there is none."""
        data = self._read(key, byte_range)
        return None if data is None else prototype.buffer.from_bytes(data)

    def _read(self, key: str, request: ByteRequest | None) -> bytes | None:
        place = locate(self._root, self._header.folder, key)
        with reading(place, _HINT_STORE):
            size = size_of(place)
            if key in METADATA:
                return None if size is None else place.read_bytes()
            if size is None:
                if self._complete:
                    raise MudrockError(f"{place}: this chunk is missing", _HINT_STORE)
                return None
            start, stop = _span(request, size)
            most = 2 * self._header.piece_bytes + _SLACK
            most = max(most, 16 * self._header.shard + _SLACK) if request else most
            most *= 1 if request else max(1, self._header.shard)
            if not 0 <= start <= stop <= size or stop - start > most:
                raise MudrockError(f"{place}: {size} bytes do not hold its chunk", _HINT_STORE)
            with place.open("rb") as file:
                file.seek(start)
                data = file.read(stop - start)
            self._check(place, data, request)
            return data

    def _check(self, place: Path, data: bytes, request: ByteRequest | None) -> None:
        """Refuse an encoded piece, or the pieces of a shard, that expand beyond their place."""
        header = self._header
        if not header.shard:
            check_stream(place, header.codec, data, header.piece_bytes)
        elif request is None:
            for start, stop in _find_pieces(place, data, header):
                check_stream(place, header.codec, data[start:stop], header.piece_bytes)
        elif isinstance(request, RangeByteRequest) and not (
            header.index_first and request.start == 0
        ):
            check_stream(place, header.codec, data, header.piece_bytes)

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Return parts of several files."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        """Return whether there is a file."""
        return size_of(locate(self._root, self._header.folder, key)) is not None

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = Store.__hash__
    supports_writes = False
    supports_deletes = False
    supports_listing = False

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse: nothing is written here."""
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        """Refuse: nothing is written here."""
        raise NotImplementedError

    def list(self) -> AsyncIterator[str]:
        """Refuse: files are asked for by name."""
        raise NotImplementedError

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Refuse: files are asked for by name."""
        raise NotImplementedError

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Refuse: files are asked for by name."""
        raise NotImplementedError


def _span(request: ByteRequest | None, size: int) -> tuple[int, int]:
    """Return the first byte of a request and the one behind its last."""
    if isinstance(request, RangeByteRequest):
        return request.start, request.end
    if isinstance(request, OffsetByteRequest):
        return request.offset, size
    if isinstance(request, SuffixByteRequest):
        return size - request.suffix, size
    return 0, size


def _find_pieces(place: Path, data: bytes, header: ArrayHeader) -> Iterable[tuple[int, int]]:
    """Yield where the pieces of a whole shard are, by its index."""
    length = 16 * header.shard
    ends = 0 if header.index_first else len(data) - length - 4  # a checksum closes the index
    if ends < 0 or len(data) < length:
        raise MudrockError(f"{place}: truncated, its index is missing", _HINT_STORE)
    index: Any = np.frombuffer(data, "<u8", 2 * header.shard, ends).reshape(-1, 2)
    for start, size in index.tolist():
        if start != _NONE:
            yield start, start + size


def check_stream(place: Path, codec: str, data: bytes, limit: int) -> None:
    """Refuse a compressed piece that expands to more than its place; decoders do not ask.

    Parameters
    ----------
    place : Path
        File, for the message.
    codec : str
        Name of the compressor.
    data : bytes
        The compressed piece.
    limit : int
        Bytes that shall come out.

    Raises
    ------
    MudrockError
        If more would come out, or the stream is cut off.
    """
    limit += 4  # a checksum may stand inside
    if codec in ("gzip", "zlib"):
        promised = _count_deflated(data, limit)
    elif codec == "lz4":
        promised = struct.unpack_from("<I", data)[0]
    elif codec == "blosc":
        promised, _, stored = struct.unpack_from("<III", data, 4)
        if stored > len(data):
            raise MudrockError(f"{place}: truncated, {len(data)} of {stored} bytes", _HINT_STORE)
    elif codec == "zstd":
        promised = _count_zstd(data, limit)
    else:
        promised = len(data)
    if promised > limit:
        raise MudrockError(
            f"{place}: expands beyond its chunk; this looks like a bomb", _HINT_STORE
        )


def _count_deflated(data: bytes, limit: int) -> int:
    """Return the bytes that all members of a stream hold, counted up to a limit."""
    total = 0
    while data and total <= limit:
        stream = zlib.decompressobj(wbits=47)  # takes both headers
        while not stream.eof and data and total <= limit:
            total += len(stream.decompress(data, 1 << 20))
            data = stream.unconsumed_tail
        data = stream.unused_data.lstrip(b"\0")
        if data[:2] != b"\x1f\x8b":
            break
    return total


def _count_zstd(data: bytes, limit: int) -> int:
    """Return the content size in the header of a frame; where it has none, decode up to a limit."""
    if not data.startswith(_ZSTD) or len(data) < 6:
        return 0
    descriptor = data[4]
    single = bool(descriptor & 0x20)
    width = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
    if not width:
        return len(imagecodecs.zstd_decode(data, out=limit + 1))
    first = 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3]
    return int.from_bytes(data[first : first + width], "little") + (256 if width == 2 else 0)


# Windows of the levels of an OME-Zarr image: only the chunks that a window touches are decoded.


class ChunkReader:
    """Read windows of an array; usable from several threads.

    Parameters
    ----------
    root : Path
        The store.
    header : ArrayHeader
        The array, checked; its last two axes are rows and columns.
    channel : int or None
        The axis of channels; other axes before the rows have one entry.
    complete : bool
        A missing chunk is an error.

    Raises
    ------
    MudrockError
        If the array cannot be opened.
    """

    def __init__(
        self, root: Path, header: ArrayHeader, channel: int | None, *, complete: bool
    ) -> None:
        self.shape = (header.shape[-2], header.shape[-1])
        self.channels = 1 if channel is None else header.shape[channel]
        self.dtype = np.dtype(np.uint8) if header.dtype == bool else header.dtype.newbyteorder("=")
        self._folder = header.folder
        self._piece = header.piece[-2:]
        leading = len(header.shape) - 2
        self._before: tuple[int | slice, ...] = tuple(
            slice(None) if axis == channel else 0 for axis in range(leading)
        )
        self._cache = PieceCache()
        with reading(header.folder):
            store = CheckedStore(root, header, complete=complete)
            self._array: Any = zarr.open_array(
                store=store, mode="r", zarr_format=3 if header.zarr_format == 3 else 2
            )

    def __call__(self, rows: slice, columns: slice) -> npt.NDArray[Any]:
        """Return the samples of a window, shape (rows, columns, channels).

        Raises
        ------
        MudrockError
            If a chunk cannot be decoded.
        """
        box = Box.from_slices(rows, columns, self.shape)
        window = np.empty((*box.shape, self.channels), self.dtype)
        if window.size == 0:
            return window
        height, width = self._piece
        for row in range(box.top // height, (box.bottom - 1) // height + 1):
            for column in range(box.left // width, (box.right - 1) // width + 1):
                place = Box(row * height, column * width, (row + 1) * height, (column + 1) * width)
                piece = self._cache.get((row, column), lambda place=place: self._decode(place))  # type: ignore[misc]
                part = box.intersect(place)
                target = part.rows.start - box.top, part.columns.start - box.left
                source = part.top - place.top, part.left - place.left
                window[
                    _span_reader(target[0], part.height), _span_reader(target[1], part.width)
                ] = piece[_span_reader(source[0], part.height), _span_reader(source[1], part.width)]
        return window

    def _decode(self, place: Box) -> npt.NDArray[Any]:
        """Return a decoded chunk, shape (rows, columns, channels); at the edges it is cut."""
        with reading(self._folder, "the store is broken: copy or export it again"):
            stored = np.asarray(self._array[(*self._before, place.rows, place.columns)])
        if stored.dtype == bool:
            stored = stored.view(np.uint8)
        stored = stored.astype(self.dtype, copy=False)
        return stored[..., None] if stored.ndim == 2 else np.moveaxis(stored, 0, -1)


def _span_reader(start: int, length: int) -> slice:
    return slice(start, start + length)


# Open an OME-Zarr image, or its labels, as stored samples.

_SAME = 1e-6
"""Two copies of one pixel size differ by less than this share."""


def open_image(path: Path, max_pixels: int) -> Samples:
    """Open an OME-Zarr image.

    Parameters
    ----------
    path : Path
        Its folder.
    max_pixels : int
        Ceiling of pixels.

    Raises
    ------
    MudrockError
        If there is no image of one plane that can be read.
    """
    with reading(path):
        found = read_multiscale(find_image(path))
        if any(level.startswith("labels/") for level in found.paths):
            raise MudrockError(f"{path}: holds labels, no micrograph", "give its image")
        return _open(path, found, max_pixels, allow_high_compression=False)


def open_labels(path: Path, max_pixels: int) -> Samples:
    """Open the mask in an OME-Zarr: its label image ``phases``, else its only one, else itself.

    Parameters
    ----------
    path : Path
        Folder of the image, or of a label image.
    max_pixels : int
        Ceiling of pixels.

    Raises
    ------
    MudrockError
        If there is none or several, or it cannot be read.
    """
    with reading(path):
        return _open(
            path, read_multiscale(_find_labels(path)), max_pixels, allow_high_compression=True
        )


def _find_labels(path: Path) -> Group:
    image = find_image(path)
    names = image.label_names
    if PHASES in names:
        return image.open(f"labels/{PHASES}")
    if len(names) > 1:
        raise MudrockError(
            f"{path}: its labels are {', '.join(names[:5])}, none is called {PHASES}",
            f"name one: {path}/labels/{names[0]}",
        )
    return image.open(f"labels/{names[0]}") if names else image


def _open(
    path: Path, found: Multiscale, max_pixels: int, *, allow_high_compression: bool
) -> Samples:
    header = _read_level(found, found.paths[0])
    shape = (header.shape[-2], header.shape[-1])
    check_header(path, shape, max_pixels)
    stored = count_bytes(found.group.root, header.folder)
    if not stored:
        raise MudrockError(f"{header.folder}: not one chunk of it is there", "copy it again")
    if not allow_high_compression:
        promised = math.prod(header.shape) * header.dtype.itemsize
        check_expansion(path, shape, max_pixels, promised=promised, stored=stored)
    full = _to_samples(path, found, header)
    return replace(full, reduced=tuple(_open_reduced(path, found, shape)))


def _open_reduced(path: Path, found: Multiscale, shape: tuple[int, int]) -> Iterator[Samples]:
    """Yield the smaller levels; the image can do without those that do not fit."""
    for name in found.paths[1:]:
        with contextlib.suppress(MudrockError):
            level = _to_samples(path, found, _read_level(found, name))
            if is_reduced(level.shape, shape):
                yield level
                shape = level.shape


def _read_level(found: Multiscale, level: str) -> ArrayHeader:
    """Read the header of a level and check that it is one plane."""
    group = found.group
    header = read_header(group.root, group.folder, level, group.zarr_format)
    place = header.folder
    if len(header.shape) != len(found.axes):
        raise MudrockError(
            f"{place}: {len(header.shape)} axes, the metadata tell of {len(found.axes)}",
            "export the image again",
        )
    for axis, count in zip(found.axes[:-2], header.shape, strict=False):
        colours = axis == "c" and count == 3 and found.rgb
        if count != 1 and not colours:
            raise MudrockError(
                f"{place}: {count} entries along {axis}, not one plane", "export one plane of it"
            )
    return header


def _to_samples(path: Path, found: Multiscale, header: ArrayHeader) -> Samples:
    provenance, facts = _believe(found)
    channel = found.axes.index("c") if "c" in found.axes else None
    reader = ChunkReader(found.group.root, header, channel, complete=provenance is not None)
    return Samples(
        path=path,
        shape=reader.shape,
        channels=reader.channels,
        dtype=reader.dtype,
        bits=1 if header.dtype == bool else reader.dtype.itemsize * 8,
        colours=Colours.RGB if reader.channels == 3 else Colours.GREY,
        read=reader,
        facts=() if facts is None else (facts,),
        provenance=provenance,
    )


def _believe(found: Multiscale) -> tuple[dict[str, Any] | None, Facts | None]:
    """Return mudrock's provenance and the scale, as far as the two tell the same pixel size.

    Where another program resampled the pixels and kept the provenance, neither is believed; a
    scale that was added is.
    """
    provenance, facts = found.group.attributes.get(PROVENANCE), found.facts
    if not isinstance(provenance, dict):
        return None, facts
    stored = stored_pixel_size(provenance)
    if stored is None:
        return (provenance, None) if facts is None else (None, facts)
    if facts is None or facts.pixel is None:
        return None, None
    agreed = all(abs(side / stored.nm - 1) < _SAME for side in facts.pixel)
    return (provenance, facts) if agreed else (None, None)
