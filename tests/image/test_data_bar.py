from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from mudrock_cli.image.data_bar import find_specimen
from mudrock_cli.image.micrograph import open_micrograph
from mudrock_cli.image.types import Box, Facts

Grey = npt.NDArray[np.uint8]
BarMaker = Callable[..., Grey]


def specimen(rows: int = 400, columns: int = 500, seed: int = 0) -> Grey:
    rng = np.random.default_rng(seed)
    return rng.normal(120, 25, (rows, columns)).clip(0, 255).astype(np.uint8)


def find(image: npt.NDArray[np.generic], *facts: Facts, scattered: bool = False) -> Box:
    return find_specimen(lambda r, c: image[r, c], image.shape, facts, scattered=scattered)


@pytest.mark.parametrize("rows", [20, 45, 90])
@pytest.mark.parametrize("ground", [0, 60, 255])
def test_a_bar_below_is_found(lettered_bar: BarMaker, rows: int, ground: int) -> None:
    bar = lettered_bar(rows, 500, ground)
    if ground == 255:
        bar = np.where(bar == 255, np.uint8(255), bar)
        bar[rows // 3 : rows // 2, 50:90] = 0
    image = np.vstack([specimen(), bar])
    assert find(image) == Box(0, 0, 400, 500)
    assert find(image.astype(np.uint16) * 200) == Box(0, 0, 400, 500)


def test_a_bar_above_is_found(lettered_bar: BarMaker) -> None:
    assert find(np.vstack([lettered_bar(30, 500), specimen()])) == Box(30, 0, 430, 500)


def test_a_bar_drawn_a_little_inside_the_picture(lettered_bar: BarMaker) -> None:
    image = specimen()
    image[340:399, :496] = lettered_bar(59, 496)
    assert find(image) == Box(0, 0, 340, 500)


@pytest.mark.parametrize("quality", [95, 75, 50])
def test_a_bar_in_a_jpeg(lettered_bar: BarMaker, tmp_path: Path, quality: int) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(np.vstack([specimen(), lettered_bar(48, 500, 30)])).save(path, quality=quality)
    assert open_micrograph(path).specimen == Box(0, 0, 400, 500)


@pytest.mark.parametrize("grain", [1, 3])
def test_a_bar_whose_ground_scatters(lettered_bar: BarMaker, tmp_path: Path, grain: float) -> None:
    """A picture that was a JPEG once, or was filmed from a screen."""
    image = np.vstack([specimen(), lettered_bar(48, 500, 30)]).astype(float)
    image += np.random.default_rng(1).normal(0, grain, image.shape)
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(tmp_path / "a.png")
    assert open_micrograph(tmp_path / "a.png").specimen == Box(0, 0, 400, 500)


@pytest.mark.parametrize("contrast", [2, 4, 8])
def test_a_dull_specimen_is_left_whole(contrast: float) -> None:
    grey = np.random.default_rng(2).normal(120, contrast, (400, 500)).astype(np.uint8)
    assert find(grey, scattered=True) == Box.whole(grey.shape)


def test_numbers_that_are_none_warn_nobody(lettered_bar: BarMaker) -> None:
    image = np.vstack([specimen(), lettered_bar(45, 500)]).astype(np.float32)
    image[10, 10], image[410, 20], image[411:413, :400] = np.nan, np.inf, np.inf
    assert find(image) == Box(0, 0, 400, 500)


@pytest.mark.parametrize("seed", range(5))
def test_a_specimen_without_bar_is_left_whole(seed: int) -> None:
    image = specimen(seed=seed)
    assert find(image) == Box.whole(image.shape)
    assert find(image, scattered=True) == Box.whole(image.shape)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_constant_image_is_left_whole(level: int) -> None:
    image = np.full((300, 200), level, np.uint8)
    assert find(image) == Box.whole(image.shape)


def test_a_saturated_area_at_the_edge_is_specimen() -> None:
    image = specimen()
    image[330:, 60:] = 0  # a large pore, its edge ragged
    for column in range(60, 500):
        image[330 - column % 23 : 330, column] = 0
    assert find(image) == Box.whole(image.shape)


def test_an_empty_border_is_no_bar() -> None:
    image = specimen()
    image[360:] = 0  # stitched mosaics end so: nothing is written there
    assert find(image) == Box.whole(image.shape)


def test_missing_tiles_of_a_mosaic_are_no_bar() -> None:
    image = specimen()
    image[330:, 75:] = 0
    assert find(image) == Box.whole(image.shape)


def test_metadata_come_before_the_picture(lettered_bar: BarMaker) -> None:
    bar = lettered_bar(60, 500)
    bar[:4] = 255  # the picture alone would also do; the frame says exactly where
    image = np.vstack([specimen(), bar])
    told = Facts("test", pixel=(5, 5), frame=(400, 500))
    assert find(image, told) == Box(0, 0, 400, 500)
    assert find(image, Facts("test", bar_rows=60)) == Box(0, 0, 400, 500)


def test_metadata_of_a_bar_that_was_cropped_off_are_not_believed() -> None:
    image = specimen()
    assert find(image, Facts("test", bar_rows=60)) == Box.whole(image.shape)
    told = Facts("test", pixel=(5, 5), frame=(340, 500))
    assert find(image, told) == Box.whole(image.shape)


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.4])
def test_a_bar_of_another_height_shows_that_an_image_was_rescaled(
    lettered_bar: BarMaker, tmp_path: Path, factor: float
) -> None:
    image = Image.fromarray(np.vstack([specimen(), lettered_bar(60, 500)]))
    size = round(500 * factor), round(460 * factor)
    image.resize(size, Image.Resampling.NEAREST).save(tmp_path / "a.png")
    text = "[MAIN]\r\nPixelSizeX=4.5e-9\r\nPixelSizeY=4.5e-9\r\nImageStripSize=60\r\n"
    (tmp_path / "a.hdr").write_text(text, "utf-8")
    micrograph = open_micrograph(tmp_path / "a.png")
    assert micrograph.specimen.bottom == pytest.approx(400 * factor, abs=1)
    assert (micrograph.pixel_size is not None) == (factor == 1)
    told = any("a data bar of 60 rows, the image has" in line for line in micrograph.warnings)
    assert told == (factor != 1)
