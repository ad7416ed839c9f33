from pathlib import Path

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mudrock_cli.image.micrograph import Micrograph, open_micrograph
from mudrock_cli.image.types import Box, PixelSize

Grey = npt.NDArray[np.uint8]
WINDOW = (slice(7, 41), slice(13, 77))
LOSSLESS = ("zlib", "lzw", "packbits", "zstd", "lzma", "deflate", "lerc", "png", "jpegxl")


def check(path: Path, expected: Grey, tolerance: int = 0) -> Micrograph:
    micrograph = open_micrograph(path)
    grey = micrograph.grey()
    assert grey.dtype == np.uint8
    assert micrograph.shape == expected.shape
    assert np.abs(grey.astype(int) - expected).max() <= tolerance
    np.testing.assert_array_equal(micrograph.read(*WINDOW), grey[WINDOW])
    return micrograph


@pytest.mark.parametrize("compression", LOSSLESS)
@pytest.mark.parametrize("layout", [{"tile": (16, 32)}, {"rowsperstrip": 7}, {}])
def test_tiff_compressions(
    tmp_path: Path, noise: Grey, compression: str, layout: dict[str, object]
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise, compression=compression, **layout)
    check(tmp_path / "a.tif", noise)


@pytest.mark.parametrize("layout", [{"tile": (16, 32)}, {"rowsperstrip": 8}])
@pytest.mark.parametrize("colour", [False, True])
def test_jpeg_in_tiff(tmp_path: Path, noise: Grey, layout: dict[str, object], colour: bool) -> None:
    smooth = np.sort(np.sort(noise, 0), 1)
    image = np.dstack([smooth] * 3) if colour else smooth
    photometric = "rgb" if colour else "minisblack"
    tifffile.imwrite(
        tmp_path / "a.tif", image, compression="jpeg", photometric=photometric, **layout
    )
    check(tmp_path / "a.tif", smooth, tolerance=16)


@pytest.mark.parametrize("rows", [1, 7, 60])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_uncompressed_strips(
    tmp_path: Path, noise: Grey, rows: int, byteorder: str, bigtiff: bool
) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", noise, rowsperstrip=rows, byteorder=byteorder, bigtiff=bigtiff
    )
    check(tmp_path / "a.tif", noise)


@pytest.mark.parametrize("options", [{"predictor": True}, {}])
@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_deeper_images_keep_their_order(
    tmp_path: Path, noise: Grey, dtype: str, options: dict[str, object]
) -> None:
    deep = (noise.astype(np.int64) * 97 - (0 if dtype[0] == "u" else 9000)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", deep, compression="zlib", byteorder=">", **options)
    grey = open_micrograph(tmp_path / "a.tif").grey()
    low, high = np.quantile(noise, [0.001, 0.999], method="lower")
    expected = np.clip((noise.astype(float) - low) / (high - low), 0, 1) * 255
    assert np.abs(grey - expected).max() <= 1
    np.testing.assert_array_equal(open_micrograph(tmp_path / "a.tif").read(*WINDOW), grey[WINDOW])


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("alpha", [False, True])
def test_colour_becomes_luminance(tmp_path: Path, noise: Grey, planar: str, alpha: bool) -> None:
    colours = np.stack([noise, noise[::-1], noise[:, ::-1], np.full_like(noise, 9)], -1)
    colours = colours[..., : 4 if alpha else 3]
    red, green, blue = (colours[..., i].astype(float) for i in range(3))
    expected = np.floor(0.299 * red + 0.587 * green + 0.114 * blue + 0.5)
    stored = colours if planar == "contig" else np.moveaxis(colours, -1, 0)
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored,
        photometric="rgb",
        planarconfig=planar,
        tile=(16, 16),
        extrasamples=["unassalpha"] if alpha else None,
    )
    check(tmp_path / "a.tif", expected.astype(np.uint8), tolerance=1)


def test_grey_with_opacity(tmp_path: Path, noise: Grey) -> None:
    both = np.stack([noise, np.full_like(noise, 3)], -1)
    tifffile.imwrite(
        tmp_path / "a.tif",
        both,
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
    )
    check(tmp_path / "a.tif", noise)
    Image.fromarray(both, "LA").save(tmp_path / "a.png")
    check(tmp_path / "a.png", noise)


def test_zero_can_be_white(tmp_path: Path, noise: Grey) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise, photometric="miniswhite")
    check(tmp_path / "a.tif", 255 - noise)


def test_palettes_go_through_their_colours(tmp_path: Path, noise: Grey) -> None:
    table = np.random.default_rng(0).permutation(256).astype(np.uint8)
    for scale in (257, 256, 1):  # exact, as ImageJ, as writers that mistake the depth
        tifffile.imwrite(
            tmp_path / "a.tif",
            noise,
            photometric="palette",
            colormap=np.stack([table.astype(np.uint16) * scale] * 3),
        )
        check(tmp_path / "a.tif", table[noise])
    image = Image.fromarray(noise)
    image.putpalette(np.repeat(table, 3).tobytes())
    image.save(tmp_path / "a.png")
    check(tmp_path / "a.png", table[noise])


@pytest.mark.parametrize("suffix", [".tif", ".png", ".bmp"])
def test_bilevel_is_black_and_white(tmp_path: Path, noise: Grey, suffix: str) -> None:
    white = noise > 128
    if suffix == ".tif":
        tifffile.imwrite(tmp_path / "a.tif", white, photometric="minisblack")
    else:
        Image.fromarray(white).save(tmp_path / f"a{suffix}")
    check(tmp_path / f"a{suffix}", white * np.uint8(255))


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
def test_fax_compressions(tmp_path: Path, noise: Grey, compression: str) -> None:
    white = np.sort(noise) > 128
    Image.fromarray(white).save(tmp_path / "a.tif", compression=compression)
    check(tmp_path / "a.tif", white * np.uint8(255))


@pytest.mark.parametrize("compression", ["jpeg", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_files_that_libtiff_writes(tmp_path: Path, noise: Grey, compression: str) -> None:
    smooth = np.sort(np.sort(noise, 0), 1)
    image = Image.fromarray(np.dstack([smooth] * 3))
    image.save(tmp_path / "a.tif", compression=compression)
    check(tmp_path / "a.tif", smooth, tolerance=16 if compression == "jpeg" else 0)


def test_packed_twelve_bits(tmp_path: Path, noise: Grey) -> None:
    deep = noise.astype(np.uint16) * 16
    tifffile.imwrite(tmp_path / "a.tif", deep, bitspersample=12)
    grey = open_micrograph(tmp_path / "a.tif").grey()
    assert np.corrcoef(grey.ravel(), noise.ravel())[0, 1] > 0.999


@pytest.mark.parametrize(("suffix", "tolerance"), [(".png", 0), (".bmp", 0), (".jpg", 16)])
def test_other_formats(tmp_path: Path, noise: Grey, suffix: str, tolerance: int) -> None:
    smooth = np.sort(np.sort(noise, 0), 1)
    for name, image in (("grey", smooth), ("rgb", np.dstack([smooth] * 3))):
        path = tmp_path / f"{name}{suffix}"
        Image.fromarray(image).save(path)
        check(path, smooth, tolerance)


def test_png_of_sixteen_bits(tmp_path: Path, noise: Grey) -> None:
    deep = noise.astype(np.uint16) * 200
    Image.fromarray(deep).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", deep)
    png, tif = (open_micrograph(tmp_path / f"a{end}").grey() for end in (".png", ".tif"))
    np.testing.assert_array_equal(png, tif)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_png_of_sixteen_bits_in_channels(tmp_path: Path, noise: Grey, channels: int) -> None:
    deep = noise.astype(np.uint16) * 16  # of a detector of 12 bits
    stacked = np.stack([deep] * channels, -1)
    if channels != 3:
        stacked[..., -1] = 65535
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(stacked))
    tifffile.imwrite(tmp_path / "a.tif", deep)
    png, tif = (open_micrograph(tmp_path / f"a{end}").grey() for end in (".png", ".tif"))
    np.testing.assert_array_equal(png, tif)


def test_the_first_full_size_page_is_taken(tmp_path: Path, noise: Grey) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(noise[::2, ::2], metadata=None)
        tiff.write(noise, metadata=None)
        tiff.write(noise.T.reshape(noise.shape), metadata=None)
    check(tmp_path / "a.tif", noise)


def test_a_suffix_does_not_matter(tmp_path: Path, noise: Grey) -> None:
    Image.fromarray(noise).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.tif")
    check(tmp_path / "a.tif", noise)


def test_a_given_pixel_size_overrides(tmp_path: Path, noise: Grey) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", noise, imagej=True, resolution=(100, 100), metadata={"unit": "um"}
    )
    size = PixelSize(7, "--pixel-size")
    assert open_micrograph(tmp_path / "a.tif", pixel_size=size).pixel_size == size


def test_an_array_is_a_micrograph(noise: Grey) -> None:
    micrograph = Micrograph.from_array("a", noise, specimen=Box(0, 0, 50, 90))
    np.testing.assert_array_equal(micrograph.grey(), noise)
    assert micrograph.specimen.bottom == 50
    with pytest.raises(ValueError, match="uint8"):
        Micrograph.from_array("a", noise.astype(np.uint16))  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_window_of_every_layout(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    shape = data.draw(st.tuples(st.integers(16, 70), st.integers(16, 70)))
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    tile = data.draw(st.none() | st.tuples(st.sampled_from([16, 32]), st.sampled_from([16, 48])))
    layout = {"tile": tile} if tile else {"rowsperstrip": data.draw(st.integers(1, 80))}
    compression = data.draw(st.sampled_from([None, "zlib"]))
    path = tmp_path_factory.mktemp("layouts") / "a.tif"
    tifffile.imwrite(path, image, compression=compression, **layout)
    read = open_micrograph(path).read
    for _ in range(4):
        top, left = data.draw(st.integers(0, shape[0])), data.draw(st.integers(0, shape[1]))
        bottom, right = data.draw(st.integers(0, shape[0])), data.draw(st.integers(0, shape[1]))
        window = (slice(top, bottom), slice(left, right))
        np.testing.assert_array_equal(read(*window), image[window])
