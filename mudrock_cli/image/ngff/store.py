"""A read-only Zarr store that looks at each encoded chunk before zarr decodes it."""

import struct
import zlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.bad_input import refusing
from mudrock_cli.image.ngff.folder import METADATA, locate, size_of
from mudrock_cli.image.ngff.header import ArrayHeader

_SLACK = 1 << 16
"""Bytes by which an encoded piece may exceed the piece: checksums and headers."""
_HINT = "the store is incomplete or broken: copy or export it again"
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
        with refusing(place, _HINT):
            size = size_of(place)
            if key in METADATA:
                return None if size is None else place.read_bytes()
            if size is None:
                if self._complete:
                    raise MudrockError(f"{place}: this chunk is missing", _HINT)
                return None
            start, stop = _span(request, size)
            most = 2 * self._header.piece_bytes + _SLACK
            most = max(most, 16 * self._header.shard + _SLACK) if request else most
            most *= 1 if request else max(1, self._header.shard)
            if not 0 <= start <= stop <= size or stop - start > most:
                raise MudrockError(f"{place}: {size} bytes do not hold its chunk", _HINT)
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
        raise MudrockError(f"{place}: truncated, its index is missing", _HINT)
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
            raise MudrockError(f"{place}: truncated, {len(data)} of {stored} bytes", _HINT)
    elif codec == "zstd":
        promised = _count_zstd(data, limit)
    else:
        promised = len(data)
    if promised > limit:
        raise MudrockError(f"{place}: expands beyond its chunk; this looks like a bomb", _HINT)


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
