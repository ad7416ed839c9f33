"""OME-Zarr images and masks: read through windows, written by bands.

The metadata are read by hand, leniently: the models of ome-zarr-models refuse images whose pixels
are fine, for an axis without a type or a scale of another length.

References
----------
Moore, J. et al. (2021). OME-NGFF: a next-generation file format for expanding bioimaging
data-access strategies. Nature Methods 18, 1496-1498. Versions 0.4 and 0.5: ngff.openmicroscopy.org.
"""

import contextlib
import json
import math
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import imagecodecs
import numpy as np
import numpy.typing as npt
import zarr
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.codecs import BytesCodec, TransposeCodec, ZstdCodec
from zarr.codecs.sharding import ShardingCodecIndexLocation
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

from mudrock_cli.errors import MudrockError, reading
from mudrock_cli.files import (
    METADATA,
    PROVENANCE,
    atomic_write,
    count_bytes,
    hash_file,
    is_mudrock_mask,
    locate,
    read_json,
    size_of,
)
from mudrock_cli.image.limits import check_expansion, check_header
from mudrock_cli.image.mask import MaskRows
from mudrock_cli.image.pixel_size import parse_nm, stored_pixel_size
from mudrock_cli.image.tiles import BandCutter, PieceReader
from mudrock_cli.image.types import (
    COLOURS,
    Colours,
    Facts,
    PixelSize,
    Reader,
    Samples,
    is_reduced,
)

PHASES = "phases"
"""Name of the label image that is a mask."""

INSTANCES = "instances"
"""Name of the label image that numbers grains and pores."""

_CONVERT = "convert it to OME-Zarr 0.4 or 0.5, for example with bioformats2raw"
_REWRITE = "write it again with chunks of about 1024 x 1024 numbers, compressed with zstd"
_BROKEN = "the store is incomplete or broken: copy or export it again"
_AXES = frozenset("tczyx")
_MAX_LEVELS = 32
_RGB = ("FF0000", "00FF00", "0000FF")
_SAME = 1e-6
"""Two copies of one pixel size differ by less than this share."""


# What the metadata tell: axes, levels, pixel size, labels, provenance.


@dataclass(frozen=True)
class _Group:
    """A Zarr group of a store: its format, what NGFF defines, and all attributes."""

    root: Path
    folder: Path
    zarr_format: Literal[2, 3]
    ome: Mapping[str, Any]
    attributes: Mapping[str, Any]

    def open(self, path: str) -> "_Group":
        """Open a group below this one."""
        return _open_group(self.root, locate(self.root, self.folder, path))

    @property
    def label_names(self) -> list[str]:
        """Names of the label images of this image."""
        if not (self.folder / "labels").is_dir():
            return []
        names = _as_list(self.open("labels").ome.get("labels"))
        return [name for name in names if isinstance(name, str)]


@dataclass(frozen=True)
class _Multiscale:
    """One image in several resolutions: its arrays, the largest first, and names of axes."""

    group: _Group
    paths: tuple[str, ...]
    axes: tuple[str, ...]
    facts: Facts | None

    @property
    def is_rgb(self) -> bool:
        """Whether three channels are red, green and blue."""
        channels = _as_list(_as_dict(self.group.ome.get("omero")).get("channels"))
        colours = tuple(str(_as_dict(channel).get("color", "")).upper() for channel in channels)
        return colours == _RGB


def _open_group(root: Path, folder: Path) -> _Group:
    """Read the attributes of a Zarr group, or refuse what is none, or of an unknown version."""
    found = read_json(root, folder, "zarr.json")
    if found is not None:
        attributes = _as_dict(found.get("attributes"))
        if found.get("node_type") != "group":
            raise MudrockError(f"{folder}: a bare Zarr array, no OME-Zarr", _CONVERT)
        ome = _as_dict(attributes.get("ome"))
        _check_version(folder, ome.get("version", "0.5"), "0.5")
        return _Group(root, folder, 3, ome, attributes)
    attributes = read_json(root, folder, ".zattrs") or {}
    if not attributes and read_json(root, folder, ".zgroup") is None:
        raise MudrockError(f"{folder}: neither zarr.json nor .zattrs in it, no OME-Zarr", _CONVERT)
    for entry in _as_list(attributes.get("multiscales")):
        _check_version(folder, _as_dict(entry).get("version", "0.4"), "0.4")
    return _Group(root, folder, 2, attributes, attributes)


def _check_version(folder: Path, found: object, expected: str) -> None:
    if found != expected:
        raise MudrockError(f"{folder}: OME-Zarr {found}; known are 0.4 and 0.5", _CONVERT)


def _find_image(path: Path) -> _Group:
    """Find the group of the one image in a store."""
    group = _open_group(path, path)
    if "plate" in group.ome or "well" in group.ome:
        raise MudrockError(f"{path}: a plate of many images", f"name one: {path}/A/1/0")
    if "multiscales" in group.ome or "bioformats2raw.layout" not in group.ome:
        return group
    series = [folder.name for folder in path.iterdir() if folder.name.isdecimal()]
    if len(series) != 1:
        raise MudrockError(f"{path}: {len(series)} images in one store", f"name one: {path}/0")
    return group.open(series[0])


def _find_labels(path: Path) -> _Group:
    """Find the mask in a store: its label image ``phases``, else its only one, else itself."""
    image = _find_image(path)
    names = image.label_names
    if PHASES in names:
        return image.open(f"labels/{PHASES}")
    if len(names) > 1:
        raise MudrockError(
            f"{path}: its labels are {', '.join(names[:5])}, none is called {PHASES}",
            f"name one: {path}/labels/{names[0]}",
        )
    return image.open(f"labels/{names[0]}") if names else image


def _read_multiscale(group: _Group) -> _Multiscale:
    """Read the first multiscale image of a group, and refuse what is not one plane."""
    folder = group.folder
    entries = _as_list(group.ome.get("multiscales"))
    if not entries:
        raise MudrockError(
            f"{folder}: no multiscales in its attributes, no OME-Zarr image", _CONVERT
        )
    entry = _as_dict(entries[0])
    axes = [_as_dict(axis) for axis in _as_list(entry.get("axes"))]
    names = tuple(axis.get("name") for axis in axes)
    if names[-2:] != ("y", "x") or len(set(names)) != len(names) or not _AXES.issuperset(names):
        shown = ", ".join(str(name) for name in names) or "none"
        raise MudrockError(f"{folder}: axes {shown}; expected t, c, z, y, x or fewer", _CONVERT)
    datasets = [_as_dict(each) for each in _as_list(entry.get("datasets"))][:_MAX_LEVELS]
    paths = tuple(each.get("path") for each in datasets)
    if not paths or not all(isinstance(path, str) for path in paths):
        raise MudrockError(f"{folder}: its multiscales name no arrays", _CONVERT)
    facts = _read_scale(entry, datasets[0], axes)
    return _Multiscale(group, tuple(map(str, paths)), tuple(map(str, names)), facts)


def _read_scale(
    entry: Mapping[str, Any], dataset: Mapping[str, Any], axes: Sequence[Mapping[str, Any]]
) -> Facts | None:
    """Return the size of a pixel of the largest level, None where anything of it is missing."""
    factors = _find_scale(dataset, len(axes))
    if factors is None:
        return None
    common = _find_scale(entry, len(axes)) or [1.0] * len(axes)
    width, height = (
        parse_nm(f"{factors[place] * common[place]!r} {axes[place].get('unit')}")
        for place in (-1, -2)
    )
    return Facts("OME-Zarr scale", (width, height)) if width and height else None


def _find_scale(node: Mapping[str, Any], count: int) -> list[float] | None:
    for transform in _as_list(node.get("coordinateTransformations")):
        factors = _as_list(_as_dict(transform).get("scale"))
        if len(factors) != count:
            continue
        if all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in factors):
            numbers = [float(each) for each in factors]
            return numbers if all(math.isfinite(each) and each > 0 for each in numbers) else None
    return None


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _as_dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


# Arrays: zarr reads their headers and decodes chunks; what it would believe is checked before.

_PIECE_BYTES = 1 << 28
_MAX_PIECES = 1 << 22
_COMPRESSORS = {"blosc", "gzip", "zlib", "zstd", "lz4"}
_SLACK = 1 << 16
"""Bytes by which an encoded piece may exceed the piece: checksums and headers."""
_NONE = (1 << 64) - 1
_ZSTD = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class _Pieces:
    """How the pieces of an array are stored, a piece being a chunk, or a chunk inside a shard.

    `shard` is the number of pieces in a shard, 0 where there are none, whose index stands at its
    start if `index_first`; `complete` refuses missing chunks, which hold the fill value otherwise.
    """

    nbytes: int
    compressor: str
    shard: int
    index_first: bool
    complete: bool


class _CheckedStore(LocalStore):
    """The files of one array: missing, truncated and lying chunks are refused, not decoded."""

    def __init__(self, root: Path, folder: Path) -> None:
        super().__init__(folder, read_only=True)
        self._top, self.pieces = root, _Pieces(0, "", 0, False, True)

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Return a file, or a part of it; None where there is none."""
        data = self._read(key, byte_range)
        assert prototype is not None
        return None if data is None else prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return parts of several files."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    def _read(self, key: str, request: ByteRequest | None) -> bytes | None:
        place, pieces = locate(self._top, self.root, key), self.pieces
        with reading(place, _BROKEN):
            size = size_of(place)
            if key in METADATA:
                return None if size is None else place.read_bytes()
            if size is None:
                if pieces.complete:
                    raise MudrockError(f"{place}: this chunk is missing", _BROKEN)
                return None
            start, stop = _find_span(request, size)
            most = 2 * pieces.nbytes + _SLACK
            most = max(most, 16 * pieces.shard + _SLACK) if request else most * (pieces.shard or 1)
            if not 0 <= start <= stop <= size or stop - start > most:
                raise MudrockError(f"{place}: {size} bytes do not hold its chunk", _BROKEN)
            with place.open("rb") as file:
                file.seek(start)
                data = file.read(stop - start)
            for piece in self._find_pieces(place, data, request):
                _check_stream(place, pieces.compressor, piece, pieces.nbytes)
            return data

    def _find_pieces(
        self, place: Path, data: bytes, request: ByteRequest | None
    ) -> Iterable[bytes]:
        """Return the encoded pieces in what was read: one, those of a shard, none in an index."""
        pieces = self.pieces
        if not pieces.shard:
            return [data]
        if request is not None:
            is_index = not isinstance(request, RangeByteRequest) or (
                pieces.index_first and request.start == 0
            )
            return [] if is_index else [data]
        length = 16 * pieces.shard
        start = 0 if pieces.index_first else len(data) - length - 4  # a checksum closes the index
        if start < 0 or len(data) < length:
            raise MudrockError(f"{place}: truncated, its index is missing", _BROKEN)
        index: Any = np.frombuffer(data, "<u8", 2 * pieces.shard, start).reshape(-1, 2)
        return [data[at : at + size] for at, size in index.tolist() if at != _NONE]


def _find_span(request: ByteRequest | None, size: int) -> tuple[int, int]:
    """Return the first byte of a request and the one behind its last."""
    if isinstance(request, RangeByteRequest):
        return request.start, request.end
    if isinstance(request, OffsetByteRequest):
        return request.offset, size
    if isinstance(request, SuffixByteRequest):
        return size - request.suffix, size
    return 0, size


def _check_stream(place: Path, compressor: str, data: bytes, limit: int) -> None:
    """Refuse a compressed piece that expands to more than its place; decoders do not ask."""
    limit += 4  # a checksum may stand inside
    promised = len(data)
    if compressor in ("gzip", "zlib"):
        promised = _count_deflated(data, limit)
    elif compressor == "lz4":
        promised = struct.unpack_from("<I", data)[0]
    elif compressor == "blosc":
        promised, _, stored = struct.unpack_from("<III", data, 4)
        if stored > len(data):
            raise MudrockError(f"{place}: truncated, {len(data)} of {stored} bytes", _BROKEN)
    elif compressor == "zstd":
        promised = _count_zstd(data, limit)
    if promised > limit:
        raise MudrockError(f"{place}: expands beyond its chunk; this looks like a bomb", _BROKEN)


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


def _open_array(found: _Multiscale, path: str, *, complete: bool) -> tuple[Any, Path]:
    """Open an array and refuse what is not one plane of an image, or would not fit into memory."""
    group = found.group
    place = locate(group.root, group.folder, path)
    if read_json(group.root, place, "zarr.json" if group.zarr_format == 3 else ".zarray") is None:
        raise MudrockError(f"{place}: no Zarr array, though the metadata name it", "copy it again")
    with reading(place, _REWRITE):
        store = _CheckedStore(group.root, place)
        array: Any = zarr.open_array(store=store, mode="r", zarr_format=group.zarr_format)
        if array.dtype.kind not in "biuf":
            raise MudrockError(f"{place}: holds {array.dtype}, no numbers of an image", _REWRITE)
        store.pieces = _find_layout(place, array, complete=complete)
    if len(array.shape) != len(found.axes):
        raise MudrockError(
            f"{place}: {len(array.shape)} axes, the metadata tell of {len(found.axes)}",
            "export the image again",
        )
    for axis, count in zip(found.axes[:-2], array.shape, strict=False):
        if count != 1 and not (axis == "c" and count == 3 and found.is_rgb):
            raise MudrockError(
                f"{place}: {count} entries along {axis}, not one plane", "export one plane of it"
            )
    return array, place


def _find_layout(place: Path, array: Any, *, complete: bool) -> _Pieces:
    """Return how an array's pieces are stored, or refuse them: too large, too many, not known."""
    shard, sharding = 0, None
    if array.shards is not None:
        sharding = array.metadata.codecs[0]
        index = {type(codec).__name__ for codec in sharding.index_codecs}
        shard = _count_pieces(array.shards, array.chunks)
        if not index <= {"BytesCodec", "Crc32cCodec"} or shard > _MAX_PIECES:
            raise MudrockError(f"{place}: shards of this kind are not supported", _REWRITE)
    names = [type(codec).__name__.lower().removesuffix("codec") for codec in array.compressors]
    names = [name for name in names if name != "crc32c"]
    plain = all(isinstance(codec, TransposeCodec) for codec in array.filters) and (
        array.metadata.zarr_format == 2 or isinstance(array.serializer, BytesCodec)
    )
    if not plain or len(names) > 1 or not _COMPRESSORS.issuperset(names):
        shown = ", ".join([type(codec).__name__ for codec in array.filters] + names)
        raise MudrockError(f"{place}: codecs {shown} are not supported", _REWRITE)
    if min(array.shape + array.chunks) < 1:
        raise MudrockError(f"{place}: chunks {array.chunks} of an array {array.shape}", _REWRITE)
    nbytes = math.prod(array.chunks) * array.dtype.itemsize
    if nbytes > _PIECE_BYTES:
        raise MudrockError(
            f"{place}: chunks of {nbytes / 1e6:.3g} MB each do not fit into memory", _REWRITE
        )
    count = _count_pieces(array.shape, array.chunks)
    if count > _MAX_PIECES:
        raise MudrockError(f"{place}: cut into {count:.3g} chunks", _REWRITE)
    return _Pieces(
        nbytes=nbytes,
        compressor=names[0] if names else "",
        shard=shard,
        index_first=sharding is not None
        and sharding.index_location is ShardingCodecIndexLocation.start,
        complete=complete or array.metadata.fill_value is None,
    )


def _count_pieces(shape: Sequence[int], piece: Sequence[int]) -> int:
    return math.prod(-(-side // step) for side, step in zip(shape, piece, strict=True))


# Images and labels as stored samples.


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
        found = _read_multiscale(_find_image(path))
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
        found = _read_multiscale(_find_labels(path))
        return _open(path, found, max_pixels, allow_high_compression=True)


def _open(
    path: Path, found: _Multiscale, max_pixels: int, *, allow_high_compression: bool
) -> Samples:
    provenance, facts = _believe(found)
    complete = provenance is not None
    array, place = _open_array(found, found.paths[0], complete=complete)
    shape = array.shape[-2], array.shape[-1]
    check_header(path, shape, max_pixels)
    stored = count_bytes(found.group.root, place)
    if not stored:
        raise MudrockError(f"{place}: not one chunk of it is there", "copy it again")
    if not allow_high_compression:
        promised = math.prod(array.shape) * array.dtype.itemsize
        check_expansion(path, shape, max_pixels, promised=promised, stored=stored)
    reduced: list[Samples] = []
    for name in found.paths[1:]:  # the image can do without those that do not fit
        with contextlib.suppress(MudrockError):
            level = _to_samples(path, found, *_open_array(found, name, complete=complete))
            if is_reduced(level.shape, reduced[-1].shape if reduced else shape):
                reduced.append(level)
    full = _to_samples(path, found, array, place)
    return replace(
        full,
        facts=() if facts is None else (facts,),
        provenance=provenance,
        reduced=tuple(replace(level, provenance=provenance) for level in reduced),
    )


def _to_samples(path: Path, found: _Multiscale, array: Any, place: Path) -> Samples:
    channel = found.axes.index("c") if "c" in found.axes else None
    channels = 1 if channel is None else int(array.shape[channel])
    dtype = np.dtype(np.uint8) if array.dtype == bool else array.dtype.newbyteorder("=")
    before = tuple(slice(None) if axis == channel else 0 for axis in range(len(array.shape) - 2))
    height, width = array.chunks[-2:]

    def decode(row: int, column: int) -> npt.NDArray[Any]:
        rows = slice(row * height, (row + 1) * height)
        with reading(place, _BROKEN):
            stored = np.asarray(array[(*before, rows, slice(column * width, (column + 1) * width))])
        stored = stored.view(np.uint8) if stored.dtype == bool else stored.astype(dtype, copy=False)
        return stored[..., None] if stored.ndim == 2 else np.moveaxis(stored, 0, -1)

    shape = array.shape[-2], array.shape[-1]
    return Samples(
        path=path,
        shape=shape,
        channels=channels,
        dtype=dtype,
        bits=1 if array.dtype == bool else dtype.itemsize * 8,
        colours=Colours.RGB if channels == 3 else Colours.GREY,
        # zarr keeps no decoded chunks, and windows and bands would decode each many times
        read=PieceReader(shape, (height, width), channels, dtype, decode),
    )


def _believe(found: _Multiscale) -> tuple[dict[str, Any] | None, Facts | None]:
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


# Writing: an image and its smaller levels by bands, from top to bottom; none is ever whole.

VERSION = "0.5"
CHUNK = 512
_LEVEL = 3
_PIXELS = "mudrock_pixels"  # their hash: editors change them and leave what stands beside them
_IN_ROOT = ("software", "version", "input", "pixel_size_nm", "pixel_size_source")
Method = Literal["mean", "nearest"]


class _PyramidWriter:
    """Write one multiscale image of an OME-Zarr, in the group `path` of the store `root`.

    By `method` two by two pixels become one: their mean, or the first, which keeps labels labels.
    """

    def __init__(
        self,
        root: Path,
        path: str,
        shape: tuple[int, int],
        dtype: npt.DTypeLike,
        method: Method,
    ) -> None:
        self.shapes = [shape]
        while max(self.shapes[-1]) > CHUNK:
            height, width = self.shapes[-1]
            self.shapes.append((-(-height // 2), -(-width // 2)))
        self._method = method
        self._reduce = _take_mean if method == "mean" else _take_first
        self._levels = [
            (_create(root, f"{path}/{number}".lstrip("/"), size, dtype), BandCutter(size[0], CHUNK))
            for number, size in enumerate(self.shapes)
        ]
        self._done = [0] * len(self.shapes)

    def write_rows(self, rows: npt.NDArray[Any], number: int = 0) -> None:
        """Append rows, as wide as the image; full chunks go on, reduced, to the next level."""
        array, cutter = self._levels[number]
        for block in cutter.cut(rows):
            array[self._done[number] : self._done[number] + len(block), :] = block
            self._done[number] += len(block)
            if number + 1 < len(self._levels):
                self.write_rows(self._reduce(block), number + 1)

    def describe(self, name: str, pixel_size: PixelSize | None, prefix: str = "") -> dict[str, Any]:
        """Return the entry of ``multiscales`` for a group from which the image lies at `prefix`.

        Without a pixel size axes have no unit, without which a scale is none.
        """
        unit = {} if pixel_size is None else {"unit": "micrometer"}
        side = 1.0 if pixel_size is None else pixel_size.um
        datasets = []
        for number in range(len(self.shapes)):
            factor = 2.0**number
            steps: list[dict[str, Any]] = [{"type": "scale", "scale": [side * factor] * 2}]
            if number and self._method == "mean":  # the middle of 2 x 2 pixels lies between them
                shift = side * (factor - 1) / 2
                steps.append({"type": "translation", "translation": [shift] * 2})
            datasets.append({"path": f"{prefix}{number}", "coordinateTransformations": steps})
        axes = [{"name": axis, "type": "space", **unit} for axis in "yx"]
        return {"name": name, "axes": axes, "datasets": datasets, "type": self._method}


def _create(root: Path, name: str, shape: tuple[int, int], dtype: npt.DTypeLike) -> Any:
    return zarr.create_array(
        root,
        name=name,
        shape=shape,
        chunks=tuple(min(CHUNK, max(side, 1)) for side in shape),
        dtype=np.dtype(dtype),
        compressors=ZstdCodec(level=_LEVEL, checksum=True),
        fill_value=0,
        zarr_format=3,
        dimension_names=["y", "x"],
        config={"write_empty_chunks": True},  # so that a missing chunk is a damage
    )


def _take_mean(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the means of two by two pixels; a last odd row or column counts twice."""
    odd = [(0, side % 2) for side in rows.shape]
    wide = np.pad(rows, odd, mode="edge").astype(np.uint16)
    total = wide[::2, ::2] + wide[1::2, ::2] + wide[::2, 1::2] + wide[1::2, 1::2]
    return np.asarray((total + 2) // 4, rows.dtype)


def _take_first(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return rows[::2, ::2].copy()


@contextlib.contextmanager
def write_zarr(
    path: Path,
    shape: tuple[int, int],
    pixel_size: PixelSize | None,
    provenance: Mapping[str, Any],
    grey: Reader | None = None,
) -> Iterator[MaskRows]:
    """Yield what takes the rows of a mask that becomes the label image ``phases`` of an OME-Zarr.

    After an exception nothing is left behind.

    Parameters
    ----------
    path : Path
        Target folder, ``.zarr``; missing folders above it are made.
    shape : tuple of int
        Rows and columns.
    pixel_size : PixelSize or None
        None writes a mask without a pixel size.
    provenance : mapping
        Values that JSON can hold.
    grey : callable, optional
        ``read(rows, columns)`` of the micrograph, uint8: the image that the labels belong to.
        Without one the mask itself is shown as the image.

    Raises
    ------
    MudrockError
        If it cannot be written, or something else stands there.
    """
    with _atomic_store(path) as part:
        labels = _PyramidWriter(part, f"labels/{PHASES}", shape, np.uint8, "nearest")
        image = None if grey is None else _PyramidWriter(part, "", shape, np.uint8, "mean")

        def append(rows: slice, phases: npt.NDArray[np.uint8]) -> None:
            labels.write_rows(phases)
            if grey is not None and image is not None:
                image.write_rows(grey(rows, slice(0, shape[1])))

        mask = MaskRows(shape, provenance, append)
        yield mask
        mask.check_end()
        looks = {
            "colors": [
                {"label-value": int(phase), "rgba": [*colour, 255]}
                for phase, colour in COLOURS.items()
            ],
            "properties": [
                {"label-value": int(phase), "phase": phase.name.lower()} for phase in COLOURS
            ],
        }
        shown = None if image is None else image.describe(path.stem, pixel_size)
        _write_metadata(part, path.stem, PHASES, labels, pixel_size, mask.provenance, looks, shown)


def write_instances(
    path: Path,
    shape: tuple[int, int],
    dtype: npt.DTypeLike,
    bands: Iterable[npt.NDArray[Any]],
    pixel_size: PixelSize | None,
    provenance: Mapping[str, Any],
) -> None:
    """Write an OME-Zarr whose label image ``instances`` numbers grains and pores.

    Parameters
    ----------
    path : Path
        Target folder, ``.zarr``.
    shape : tuple of int
        Rows and columns.
    dtype : dtype
        Of the labels.
    bands : iterable of ndarray, shape (rows, columns)
        The rows from top to bottom, in bands of any height.
    pixel_size : PixelSize or None
        None writes labels without a pixel size.
    provenance : mapping
        That of the mask.

    Raises
    ------
    MudrockError
        If it cannot be written, or something else stands there.
    """
    with _atomic_store(path) as part:
        labels = _PyramidWriter(part, f"labels/{INSTANCES}", shape, dtype, "nearest")
        for band in bands:
            labels.write_rows(band)
        _write_metadata(part, path.stem, INSTANCES, labels, pixel_size, provenance)


@contextlib.contextmanager
def _atomic_store(path: Path) -> Iterator[Path]:
    """Yield an empty folder to write a store to; it replaces none but stores that mudrock made."""
    if path.exists() and not (path.is_dir() and (is_mudrock_mask(path) or not any(path.iterdir()))):
        raise MudrockError(f"{path}: is there already, and not mudrock's", "choose another --out")
    with atomic_write(path, "choose another --out, or make room") as part:
        part.mkdir()
        yield part


def _write_metadata(
    root: Path,
    name: str,
    label: str,
    pyramid: _PyramidWriter,
    size: PixelSize | None,
    provenance: Mapping[str, Any],
    looks: Mapping[str, Any] | None = None,
    shown: Mapping[str, Any] | None = None,
) -> None:
    """Write what the label image is, the list of labels, and the image that is shown."""
    told = dict(provenance)
    if size is not None:  # read back with where it came from
        told |= {"pixel_size_nm": size.nm, "pixel_size_source": size.source}
    place = f"labels/{label}"
    ome = {
        "version": VERSION,
        "multiscales": [pyramid.describe(label, size)],
        "image-label": {**(looks or {}), "source": {"image": "../../"}},
    }
    pixels = hash_file(root / place / "0")
    _write_group(root, place, {"ome": ome, PROVENANCE: _plain(told), _PIXELS: pixels})
    _write_group(root, "labels", {"ome": {"version": VERSION, "labels": [label]}})
    shown = shown or pyramid.describe(name, size, f"{place}/")
    known = {"software": "mudrock"} | {key: told[key] for key in _IN_ROOT if key in told}
    ome = {"version": VERSION, "multiscales": [dict(shown)]}
    _write_group(root, "", {"ome": ome, PROVENANCE: _plain(known)})


def _write_group(root: Path, path: str, attributes: Mapping[str, Any]) -> None:
    """Write the attributes of a group, which zarr may have made for an array in it."""
    zarr.open_group(root, path=path, mode="a", zarr_format=3).attrs.put(dict(attributes))


def _plain(facts: Mapping[str, Any]) -> Any:
    """Return values as JSON gives them back, in a fixed order."""
    return json.loads(json.dumps(dict(facts), sort_keys=True, allow_nan=False))


def is_untouched(path: Path) -> bool:
    """Tell whether a store of `write_zarr` holds the labels that it wrote, and no others."""
    place = path / "labels" / PHASES
    labels = {entry.name for entry in place.parent.iterdir() if entry.is_dir()}
    told = (read_json(path, place, "zarr.json") or {}).get("attributes")
    return (
        labels == {PHASES}
        and isinstance(told, dict)
        and told.get(_PIXELS) == hash_file(place / "0")
    )
