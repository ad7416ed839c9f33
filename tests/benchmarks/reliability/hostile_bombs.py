"""Small files that promise, or unfold to, far more than a machine has; and pages in a circle."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import tifffile
from hostile_breaks import Case
from hostile_seeds import Seed

Tag = tuple[int, int, int, int]

_ZIPPED = 8
_ZSTD = 50_000
_LZMA = 34_925


def make_bombs() -> list[Case]:
    """Return all bombs; none may cost much memory or time."""
    names = {"forest": "recipe.toml", "model-card": "a.json"}
    return [
        Case(Seed(kind, reader, {names.get(reader, f"a.{suffix}"): data}), how, (None,))
        for kind, reader, suffix, how, data in (*_tiffs(), *_pngs(), *_jpegs(), *_texts(), *_npz())
    ]


def _tiff(tags: Sequence[Tag], tail: bytes = b"", *, next_page: int = 0) -> bytes:
    """Return a TIFF of one directory; offsets of `tail` count from 4096."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", next_page)
    return (struct.pack("<2sHI", b"II", 42, 8) + directory).ljust(4096, b"\0") + tail


def _page(width: int, height: int, stored: int, *extra: Tag) -> list[Tag]:
    tags = {
        256: width, 257: height, 258: 8, 259: _ZIPPED, 262: 1, 273: 4096, 277: 1, 278: height,
        279: stored,
    }  # fmt: skip
    table = {code: (code, 4, 1, value) for code, value in tags.items()}
    return list((table | {tag[0]: tag for tag in extra}).values())


def deflate(count: int) -> bytes:
    """Return `count` zeros in zlib's format, of one compressed megabyte written many times."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = squeeze.compress(bytes(1 << 20)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    end = squeeze.compress(bytes(count & 0xFFFFF)) + squeeze.flush()
    checksum = struct.pack(">I", (count % 65_521) << 16 | 1)
    return b"\x78\xda" + block * (count >> 20) + end + checksum


def _tiffs() -> Iterator[tuple[str, str, str, str, bytes]]:
    import imagecodecs

    kind = "bombs in TIFF"
    zeros = deflate(1 << 30)
    zstd = imagecodecs.zstd_encode(bytes(1 << 29), level=1)
    lzma = imagecodecs.lzma_encode(bytes(1 << 27))
    images = _streams()
    for reader in ("micrograph", "mask"):
        lone = _page(64, 64, len(zeros))
        yield kind, reader, "tif", "a strip of 4 KB that unfolds to 1 GB", _tiff(lone, zeros)
        side = _page(30_000, 30_000, len(zeros))
        yield kind, reader, "tif", "one strip of 900 MB", _tiff(side, zeros)
        wide = _page(16_000_000, 16, len(zeros))
        yield kind, reader, "tif", "16 rows of 16 million pixels", _tiff(wide, zeros)
        rgb = [(262, 3, 1, 2), (277, 3, 1, 3)]
        wide = _page(1_300_000, 64, len(zeros), *rgb)
        yield kind, reader, "tif", "64 rows of 1.3 million colours", _tiff(wide, zeros)
        tall = _page(16, 6_000_000, len(zeros))
        yield kind, reader, "tif", "6 million rows of 16 pixels", _tiff(tall, zeros)
        page = _page(256, 256, len(zstd), (259, 3, 1, _ZSTD))
        yield kind, reader, "tif", "zstd that unfolds to 512 MB", _tiff(page, zstd)
        page = _page(256, 256, len(lzma), (259, 3, 1, _LZMA))
        yield kind, reader, "tif", "LZMA that unfolds to 128 MB", _tiff(page, lzma)
        for codec, (code, data) in images.items():
            more = rgb if codec == "WebP" else []
            page = _page(64, 64, len(data), (259, 3, 1, code), *more)
            yield kind, reader, "tif", f"{codec} of 144 megapixels for 64 x 64", _tiff(page, data)
        yield kind, reader, "tif", "tiles of zeros, 100 megapixels", _tiles()
        yield from _circles(kind, reader)


def _streams() -> dict[str, tuple[int, bytes]]:
    """Return encoded images whose own headers promise 12 000 x 12 000 pixels, by codec."""
    import imagecodecs

    flat = np.zeros((12_000, 12_000), np.uint8)
    png = _png(12_000, 12_000, 8, 0, deflate(12_001 * 12_000))
    jpeg2k = bytearray(imagecodecs.jpeg2k_encode(flat[:64, :64], codecformat="j2k"))
    at = jpeg2k.find(b"\xff\x51") + 6
    struct.pack_into(">II8xII", jpeg2k, at, 12_000, 12_000, 12_000, 12_000)
    webp = bytearray(imagecodecs.webp_encode(np.zeros((64, 64, 3), np.uint8), lossless=True))
    at = webp.find(b"VP8L") + 9
    kept = struct.unpack_from("<I", webp, at)[0] >> 28 << 28
    struct.pack_into("<I", webp, at, kept | 11_999 << 14 | 11_999)
    jpegxl = imagecodecs.jpegxl_encode(flat, effort=1)
    lerc = imagecodecs.lerc_encode(flat)
    return {
        "PNG": (34_933, png), "JPEG 2000": (34_712, bytes(jpeg2k)), "WebP": (50_001, bytes(webp)),
        "JPEG XL": (50_002, jpegxl), "LERC": (34_887, lerc),
    }  # fmt: skip


def _tiles() -> bytes:
    """Return 99 megapixels of 16-bit colours with alpha in small tiles, all of zeros."""
    stream, piece = io.BytesIO(), zlib.compress(bytes(512 * 512 * 8), 9)
    side = 9728
    tifffile.imwrite(
        stream, iter([piece] * (side // 512) ** 2), shape=(side, side, 4), dtype=np.uint16,
        compression="zlib", tile=(512, 512), photometric="rgb", extrasamples=["unassalpha"],
    )  # fmt: skip
    return stream.getvalue()


def _circles(kind: str, reader: str) -> Iterator[tuple[str, str, str, str, bytes]]:
    pixels = bytes(range(256)) * 16
    plain = _page(64, 64, 4096, (259, 3, 1, 1))
    yield kind, reader, "tif", "a page that is its own next", _tiff(plain, pixels, next_page=8)
    nested = [*plain, (330, 4, 1, 8)]
    yield kind, reader, "tif", "a page that is its own child", _tiff(nested, pixels)
    exif = [*plain, (34_665, 4, 1, 8), (34_853, 4, 1, 8)]
    yield kind, reader, "tif", "a page that is its own Exif", _tiff(exif, pixels)
    parts = [_tiff(plain, pixels, next_page=8192)]
    for number in range(30_000):
        at = 8192 + 16 * number
        parts.append(struct.pack("<HHHIIH", 1, 254, 4, 1, at + 18, 0))
    yield kind, reader, "tif", "30 000 pages without pixels", b"".join(parts)
    for code, count in ((273, 1 << 28), (279, 1 << 31), (270, 0xFFFFFFFF), (320, 0xFFFFFFFF),
                        (339, 1 << 30), (34_682, 0xFFFFFFF0), (324, 1 << 29)):  # fmt: skip
        lying = [*(tag for tag in plain if tag[0] != code), (code, 4, count, 16)]
        yield kind, reader, "tif", f"tag {code} of {count} values", _tiff(lying, pixels)


def _chunk(name: bytes, body: bytes) -> bytes:
    crc = struct.pack(">I", zlib.crc32(name + body))
    return struct.pack(">I", len(body)) + name + body + crc


def _png(width: int, height: int, depth: int, colours: int, pixels: bytes, *more: bytes) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0))
    parts = [b"\x89PNG\r\n\x1a\n", header, *more, _chunk(b"IDAT", pixels), _chunk(b"IEND", b"")]
    return b"".join(parts)


def _pngs() -> Iterator[tuple[str, str, str, str, bytes]]:
    kind = "bombs in PNG"
    small = zlib.compress(bytes(65 * 64))
    text = _chunk(b"zTXt", b"a\0\0" + deflate(1 << 30))
    profile = _chunk(b"iCCP", b"a\0\0" + deflate(1 << 30))
    words = _chunk(b"iTXt", b"a\0\1\0\0\0" + deflate(1 << 30))
    many = _chunk(b"tEXt", b"a\0" + bytes(900_000)) * 80
    frames = _chunk(b"acTL", struct.pack(">II", 0xFFFFFFFF, 0)) * 2
    for reader in ("micrograph", "mask"):
        for side, colours in ((40_000, 0), (16_383, 0), (11_500, 2), (8_191, 6)):
            channels = {0: 1, 2: 3, 6: 4}[colours]
            data = deflate((side * channels + 1) * side)
            how = f"{side} pixels a side, {channels} channels, all zero"
            yield kind, reader, "png", how, _png(side, side, 8, colours, data)
        data = deflate((10_000 * 8 + 1) * 3_300)
        yield kind, reader, "png", "16-bit colours with alpha", _png(10_000, 3_300, 16, 6, data)
        data = deflate((40_000 // 8 + 1) * 40_000)
        yield kind, reader, "png", "1.6 billion bits", _png(40_000, 40_000, 1, 0, data)
        yield kind, reader, "png", "pixels of 1 GB for 64", _png(64, 64, 8, 0, deflate(1 << 30))
        for how, chunk in (("text", text), ("profile", profile), ("words", words),
                           ("80 texts", many), ("frames", frames)):  # fmt: skip
            yield kind, reader, "png", f"a chunk: {how}", _png(64, 64, 8, 0, small, chunk)


def _jpegs() -> Iterator[tuple[str, str, str, str, bytes]]:
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (64, 64)).save(stream, "JPEG", progressive=True)
    data = bytearray(stream.getvalue())
    at = data.find(b"\xff\xc2")
    for height, width in ((65_500, 65_500), (12_000, 12_000), (9_400, 9_400)):
        struct.pack_into(">HH", data, at + 5, height, width)
        yield "JPEG", "micrograph", "jpg", f"a header of {width} x {height}", bytes(data)
    scan = data[data.find(b"\xff\xda") : -2]
    struct.pack_into(">HH", data, at + 5, 5000, 5000)
    slow = bytes(data[:-2]) + bytes(scan) * 3000 + b"\xff\xd9"
    yield "JPEG", "micrograph", "jpg", "3000 scans of 25 megapixels", slow


def _texts() -> Iterator[tuple[str, str, str, str, bytes]]:
    deep, digits = 200_000, b"9" * 5000
    for reader in ("recipe", "workflow", "forest"):
        kind = "recipes that are none"
        yield kind, reader, "toml", "nested lists", b"a = " + b"[" * deep
        yield kind, reader, "toml", "nested tables", b"a = " + b"{b=" * deep
        yield kind, reader, "toml", "nested keys", b".".join([b"a"] * deep) + b" = 1"
        yield kind, reader, "toml", "a number of 5000 digits", b"a = " + digits
        yield kind, reader, "toml", "no text", bytes(range(256)) * 50
        yield kind, reader, "toml", "50 MB", b"# a comment\n" * 4_000_000
    for key in (b"[training]\nepochs", b"[data]\nnm_per_pixel", b"[optimizer]\nrate",
                b"[augment]\nscale", b"[network]\nrates"):  # fmt: skip
        for value in (b"9" * 400, b"1e999", b"nan", b"[]", b"[[1]]", b"true", b"{}", b"1979-05-27"):
            text = key + b" = " + value
            yield "recipes that are none", "recipe", "toml", text.decode()[:60], text
    sizes = b"[network]\n" + b"\n".join(
        [b'encoder = "plain"', b'architecture = "unet"', b"unet_channels = 512", b"unet_levels = 6"]
    )
    yield "recipes that are none", "recipe", "toml", "a network of 38 GB", sizes
    rates = b"[network]\nrates = [" + b"6," * 100_000 + b"]"
    yield "recipes that are none", "recipe", "toml", "100 000 rates", rates
    for how, text in (("nested", b"[" * deep), ("objects", b'{"a":' * deep), ("digits", digits)):
        yield "model folder", "model-card", "json", how, text
    rows = {
        "no end": b'"' + b"a" * 300_000, "a field of 1 MB": b"a," * 500_000,
        "zeros": b"name,part\n\0,\0\n", "no text": bytes(range(256)),
    }  # fmt: skip
    for how, text in rows.items():
        for reader in ("split", "groups"):
            yield f"{reader} as CSV", reader, "csv", how, b"name,part\n" + text


def _npz() -> Iterator[tuple[str, str, str, str, bytes]]:
    def pack(header: dict[str, object], size: int) -> bytes:
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(head, header)
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.npy", head.getvalue() + bytes(size))
        return stream.getvalue()

    def describe(*shape: int, kind: str = "<f4") -> dict[str, object]:
        return {"descr": kind, "fortran_order": False, "shape": shape}

    for how, data in (
        ("1 GB of zeros", pack(describe(1 << 28), 1 << 30)),
        ("a shape of a terabyte", pack(describe(1 << 38), 1 << 20)),
        ("a shape beyond 64 bit", pack(describe(1 << 40, 1 << 40), 1 << 20)),
        ("objects", pack(describe(4, kind="|O"), 1 << 20)),
        ("a negative shape", pack(describe(-1, 4), 1 << 20)),
    ):
        yield "weights", "weights", "npz", how, data
    lone = io.BytesIO()
    np.save(lone, np.zeros(3))
    yield "weights", "weights", "npz", "a lone array", lone.getvalue()
