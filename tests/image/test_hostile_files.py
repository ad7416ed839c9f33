import struct
import time
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from mudrock_cli.errors import MudrockError
from mudrock_cli.files import hash_file
from mudrock_cli.image.mask import open_mask
from mudrock_cli.image.micrograph import open_micrograph
from mudrock_cli.image.tiff import count_stream_pixels

Grey = npt.NDArray[np.uint8]


def refused(path: Path, **options: int) -> MudrockError:
    with pytest.raises(MudrockError) as caught:
        open_micrograph(path, **options).grey()
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


def write_tiff(path: Path, tags: list[tuple[int, int, int, int]], next_page: int = 0) -> None:
    """Write a TIFF of one directory: tags are code, type, count, value."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", next_page)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8) + directory + bytes(4096))


def page(
    width: int, height: int, *extra: tuple[int, int, int, int]
) -> list[tuple[int, int, int, int]]:
    tags = {
        256: (256, 4, 1, width),
        257: (257, 4, 1, height),
        258: (258, 3, 1, 8),
        259: (259, 3, 1, 1),
        262: (262, 3, 1, 1),
        273: (273, 4, 1, 200),
        277: (277, 3, 1, 1),
        278: (278, 4, 1, height),
        279: (279, 4, 1, width * height & 0xFFFFFFFF),
    }
    return sorted((tags | {tag[0]: tag for tag in extra}).values())


@pytest.mark.parametrize("content", [b"", b"II", b"II*\0", b"hello, this is no image\n" * 20])
def test_what_is_no_image(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tif").write_bytes(content)
    refused(tmp_path / "a.tif")


@pytest.mark.parametrize("side", [1, 5, 15])
def test_too_few_pixels(tmp_path: Path, side: int) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((side, 40), np.uint8))
    assert "too few" in refused(tmp_path / "a.tif").message
    Image.fromarray(np.zeros((side, 40), np.uint8)).save(tmp_path / "a.png")
    assert "too few" in refused(tmp_path / "a.png").message


def test_a_header_of_ten_billion_pixels(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", page(100_000, 100_000))
    error = refused(tmp_path / "a.tif")
    assert "1e+10 pixels" in error.message
    assert "--max-pixels 10000000000" in error.hint
    assert "truncated" in refused(tmp_path / "a.tif", max_pixels=10**10).message


def test_a_png_header_of_ten_billion_pixels(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[16:24] = struct.pack(">II", 100_000, 100_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "a.png").write_bytes(data)
    assert "1e+10 pixels" in refused(tmp_path / "a.png").message


def write_zeros(path: Path, side: int, piece: tuple[int, int], encoded: bytes) -> None:
    """Write a square image whose strips or tiles are all the same `encoded` zeros."""
    count = -(-side // piece[0]) * -(-side // piece[1])
    layout = {"tile": piece} if piece[1] != side else {"rowsperstrip": piece[0]}
    tifffile.imwrite(
        path,
        iter([encoded] * count),
        shape=(side, side),
        dtype=np.uint8,
        compression="zlib",
        **layout,
    )


def test_a_bomb_of_small_tiles(tmp_path: Path) -> None:
    write_zeros(tmp_path / "a.tif", 20_000, (2048, 2048), zlib.compress(bytes(2048 * 2048)))
    error = refused(tmp_path / "a.tif")
    assert "bomb" in error.message
    allowed = int(error.hint.split()[-1])
    assert open_micrograph(tmp_path / "a.tif", max_pixels=allowed).shape == (20_000, 20_000)


def test_a_bomb_in_one_strip(tmp_path: Path) -> None:
    write_zeros(tmp_path / "a.tif", 20_480, (20_480, 20_480), zlib.compress(bytes(1000)))
    for opener in (open_micrograph, open_mask):
        with pytest.raises(MudrockError, match="in one piece"):
            opener(tmp_path / "a.tif")


def test_a_large_empty_mask_is_no_bomb(tmp_path: Path) -> None:
    write_zeros(tmp_path / "a.tif", 10_240, (2048, 2048), zlib.compress(bytes(2048 * 2048)))
    assert open_mask(tmp_path / "a.tif").shape == (10_240, 10_240)


def test_a_jpeg_larger_than_its_tile(tmp_path: Path, noise: Grey) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise, compression="jpeg", tile=(16, 16))
    data = bytearray((tmp_path / "a.tif").read_bytes())
    start = data.find(b"\xff\xc0")
    assert data[start + 5 : start + 9] == struct.pack(">HH", 16, 16)
    assert count_stream_pixels(b"\xff\xd8\xff\xff\xff") is None
    data[start + 5 : start + 9] = struct.pack(">HH", 65_000, 65_000)
    (tmp_path / "a.tif").write_bytes(data)
    assert "larger than its place" in refused(tmp_path / "a.tif").message


def test_zero_pages(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(struct.pack("<2sHI", b"II", 42, 0) + bytes(64))
    assert "without an image" in refused(tmp_path / "a.tif").message
    write_tiff(tmp_path / "b.tif", [])
    refused(tmp_path / "b.tif")


def test_directories_that_go_round(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", page(40, 40), next_page=8)
    start = time.monotonic()
    assert open_micrograph(tmp_path / "a.tif").shape == (40, 40)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "lie",
    [
        (273, 4, 0xFFFFFFFF, 8), (278, 4, 1, 0), (278, 4, 1, 1),
        (277, 3, 1, 60_000), (258, 3, 1, 7777), (259, 3, 1, 4711), (262, 3, 1, 9), (262, 3, 1, 5),
        (273, 4, 1, 0xFFFFFF00), (273, 4, 1, 0), (256, 2, 1, 65), (339, 3, 1, 6),
        (32997, 4, 1, 9), (322, 4, 1, 1 << 30),
    ],
)  # fmt: skip
def test_lying_headers(tmp_path: Path, lie: tuple[int, int, int, int]) -> None:
    write_tiff(tmp_path / "a.tif", page(40, 40, lie))
    refused(tmp_path / "a.tif")


def test_a_strip_that_is_missing(tmp_path: Path, noise: Grey) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise, compression="zlib", rowsperstrip=10)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        counts = tiff.pages[0].tags[279].valueoffset
        kind = tiff.pages[0].tags[279].dtype
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[counts : counts + 2] = bytes(2)
    assert kind in (3, 4)
    (tmp_path / "a.tif").write_bytes(data)
    assert "do not hold all its pixels" in refused(tmp_path / "a.tif").message


@pytest.mark.parametrize("kind", ["CMYK", "LAB"])
def test_colour_models_for_print(tmp_path: Path, kind: str) -> None:
    Image.new(kind, (40, 40)).save(tmp_path / "a.tif")
    assert "colour model" in refused(tmp_path / "a.tif").message


def test_complex_numbers_and_stacks_of_channels(tmp_path: Path, noise: Grey) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise.astype(np.complex64))
    refused(tmp_path / "a.tif")
    tifffile.imwrite(
        tmp_path / "b.tif",
        np.stack([noise] * 5, -1),
        photometric="minisblack",
        planarconfig="contig",
    )
    assert "5 channels" in refused(tmp_path / "b.tif").message


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "a.tif")
    assert "not a file" in refused(tmp_path / "a.tif").message


def test_hashes_are_those_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert hash_file(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")
    with pytest.raises(MudrockError, match="no such file"):
        hash_file(tmp_path / "b")
