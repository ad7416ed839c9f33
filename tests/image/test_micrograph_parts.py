"""What of a file is taken: a page of several, the grey of colours, a box, what is not painted."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.micrograph import Micrograph, open_micrograph
from mudrock_cli.image.resample import resample_micrograph
from mudrock_cli.image.types import Box, Phase, PixelSize

Grey = npt.NDArray[np.uint8]


@pytest.mark.parametrize("imagej", [False, True])
def test_the_first_of_a_stack_is_taken_and_told(tmp_path: Path, noise: Grey, imagej: bool) -> None:
    stack = np.stack([noise, noise[::-1], noise])
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=imagej, photometric="minisblack")
    micrograph = open_micrograph(tmp_path / "a.tif")
    np.testing.assert_array_equal(micrograph.grey(), noise)
    assert [text.split(":")[0] for text in micrograph.warnings] in (
        ["a stack of 3 pages"], ["a stack of 3 images"],
    )  # fmt: skip
    assert all("the first was taken" in text for text in micrograph.warnings)


def test_the_largest_of_pages_is_taken_and_told(tmp_path: Path, noise: Grey) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for image in (noise[::3, ::3], noise, 255 - noise):
            tiff.write(image, photometric="minisblack")
    micrograph = open_micrograph(tmp_path / "a.tif")
    np.testing.assert_array_equal(micrograph.grey(), noise)
    assert micrograph.warnings == ("3 pages: page 2, the first of the largest, was taken",)


def test_a_pyramid_is_one_image(tmp_path: Path, noise: Grey) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(noise, photometric="minisblack", subifds=1)
        tiff.write(noise[::2, ::2], photometric="minisblack", subfiletype=1)
        tiff.write(noise[::4, ::4], photometric="minisblack", subfiletype=1)
    assert open_micrograph(tmp_path / "a.tif").warnings == ()


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_colours_are_told(tmp_path: Path, noise: Grey, mode: str) -> None:
    tinted = np.dstack([noise, noise // 2, 255 - noise])
    Image.fromarray(tinted).convert(mode).save(tmp_path / "a.png")
    (warning,) = open_micrograph(tmp_path / "a.png").warnings
    assert warning.startswith("colours: their luminance was taken")
    grey = Image.fromarray(np.dstack([noise] * 3))
    grey.convert(mode).save(tmp_path / "b.png")
    grey.save(tmp_path / "c.jpg", quality=60)
    assert open_micrograph(tmp_path / "c.jpg").warnings == ()
    if mode == "RGB":
        assert open_micrograph(tmp_path / "b.png").warnings == ()


def test_a_coloured_bar_is_no_coloured_specimen(tmp_path: Path, noise: Grey) -> None:
    image = np.dstack([np.tile(noise, (4, 4))] * 3)
    image[200:] = 20
    image[205:235, 20:200:3] = 250, 40, 40
    Image.fromarray(image).save(tmp_path / "a.png")
    micrograph = open_micrograph(tmp_path / "a.png")
    assert micrograph.specimen.bottom == 200
    assert micrograph.warnings == ()


def test_a_box_leaves_less_specimen(noise: Grey) -> None:
    micrograph = Micrograph.from_array("a", noise, specimen=Box(0, 0, 50, 90))
    cropped = micrograph.cropped(Box.parse("10, 20,60,100"))
    assert cropped.specimen == Box(20, 10, 50, 70)
    assert cropped.shape == noise.shape
    with pytest.raises(MudrockError, match="60 x 0 pixels of specimen are in the box") as caught:
        micrograph.cropped(Box(52, 10, 60, 70))
    assert "0,0,90,50" in caught.value.hint


@pytest.mark.parametrize("text", ["", "1,2,3", "0,0,0,9", "1,2,-3,4", "a,b,c,d", "9" * 400])
def test_what_is_no_box(text: str) -> None:
    with pytest.raises(MudrockError, match="no box of pixels"):
        Box.parse(text)


@pytest.mark.parametrize("white", [1, 255])
def test_what_is_painted_is_left_out(tmp_path: Path, noise: Grey, white: int) -> None:
    painted = np.zeros(noise.shape, np.uint8)
    painted[5:9, 40:70] = white
    Image.fromarray(painted).save(tmp_path / "crack.png")
    micrograph = Micrograph.from_array("a", noise, PixelSize(10, "test"))
    phases = np.full(noise.shape, Phase.SILT, np.uint8)
    assert micrograph.leave_out(slice(0, 60), phases) is phases
    excluding = micrograph.excluding(tmp_path / "crack.png")
    left = np.concatenate(
        [excluding.leave_out(slice(top, top + 7), phases[top : top + 7]) for top in range(0, 60, 7)]
    )
    np.testing.assert_array_equal(left == Phase.VOID, painted > 0)
    assert left.dtype == np.uint8
    assert resample_micrograph(excluding, 20).excluded is None  # its pixels are others
    Image.fromarray(painted[:50]).save(tmp_path / "small.png")
    with pytest.raises(MudrockError, match=r"90 x 50 pixels, but a has 90 x 60"):
        micrograph.excluding(tmp_path / "small.png")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_what_is_transparent_is_left_out(tmp_path: Path, noise: Grey, suffix: str) -> None:
    height, width = noise.shape
    shown = np.zeros((height + 20, width + 30, 4), np.uint8)
    shown[:height, :width, :3] = noise[..., None]
    shown[:height, :width, 3] = 255
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        Image.fromarray(shown).save(path)
    else:
        tifffile.imwrite(path, shown, photometric="rgb", extrasamples=["unassalpha"])
    micrograph = open_micrograph(path)
    phases = np.zeros(shown.shape[:2], np.uint8)
    clear = shown[..., 3] == 0
    left = micrograph.leave_out(slice(None), phases) == Phase.VOID
    np.testing.assert_array_equal(left, clear)
    painted = np.zeros(phases.shape, np.uint8)
    painted[3:6, 10:20] = 1
    Image.fromarray(painted).save(tmp_path / "crack.png")
    both = micrograph.excluding(tmp_path / "crack.png").leave_out(slice(None), phases)
    np.testing.assert_array_equal(both == Phase.VOID, clear | (painted > 0))
    assert micrograph.warnings == ()


def test_a_second_channel_that_is_no_opacity_leaves_nothing_out(
    tmp_path: Path, noise: Grey
) -> None:
    both = np.stack([noise, np.zeros_like(noise)], -1)
    for name, extra in (("detector", "unspecified"), ("clear", "unassalpha")):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(
            path, both, photometric="minisblack", planarconfig="contig", extrasamples=[extra]
        )
        assert open_micrograph(path).excluded is None  # all clear is a writer's mistake


@pytest.mark.parametrize("sides", ["all", "left", "below", "ragged"])
def test_padding_around_a_mosaic_is_told(tmp_path: Path, noise: Grey, sides: str) -> None:
    grey = np.tile(noise, (4, 4))
    whole = np.zeros((grey.shape[0] + 80, grey.shape[1] + 80), np.uint8)
    top, left = {"all": (40, 40), "left": (0, 80), "below": (0, 0), "ragged": (0, 0)}[sides]
    whole[top : top + grey.shape[0], left : left + grey.shape[1]] = grey
    if sides == "left":
        whole = whole[: grey.shape[0]]
    if sides == "ragged":
        whole = whole[: grey.shape[0], : grey.shape[1]]
        for row in range(whole.shape[0] // 2):
            whole[row, : 60 - row // 4] = 0
    Image.fromarray(whole).save(tmp_path / "a.png")
    warnings = open_micrograph(tmp_path / "a.png").warnings
    assert any("an edge of one grey" in line for line in warnings)
    Image.fromarray(grey).save(tmp_path / "b.png")
    assert open_micrograph(tmp_path / "b.png").warnings == ()
