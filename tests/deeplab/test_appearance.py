from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from mudrock_cli.deeplab.training_range import Appearance, describe_appearance
from mudrock_cli.image.micrograph import Micrograph, open_micrograph
from mudrock_cli.image.types import Box, PixelSize

KUMANO = Path(__file__).resolve().parents[3] / "shared" / "data" / "kumano" / "images"
Grey = npt.NDArray[np.uint8]
TEN = PixelSize(10, "test")


def look(grey: Grey) -> dict[str, float | None]:
    return describe_appearance(Micrograph.from_array("a", grey, TEN), 10)


def make_texture(shape: tuple[int, int] = (300, 400), seed: int = 0) -> npt.NDArray[np.float64]:
    """Blocks of 8 pixels and noise, between 40 and 120, dark ones rarer."""
    rng = np.random.default_rng(seed)
    blocks = rng.choice([50, 100, 110], (shape[0] // 8 + 1, shape[1] // 8 + 1), p=[0.1, 0.5, 0.4])
    texture = np.kron(blocks, np.ones((8, 8)))[: shape[0], : shape[1]]
    return texture + rng.normal(0, 3, shape)


def test_noise_has_no_slope_and_a_ramp_that_of_a_plane() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (500, 500)).astype(np.uint8)
    figures = look(noise)
    assert figures["fine_texture"] == pytest.approx(0, abs=0.01)
    assert figures["coarse_texture"] == pytest.approx(0, abs=0.01)
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    # At distance d: d^2 along rows, 0 along columns, of as many pairs.
    assert look(ramp)["fine_texture"] == pytest.approx(2, abs=1e-9)
    assert look(ramp)["coarse_texture"] == pytest.approx(2, abs=1e-9)


def test_skew_tells_dark_from_bright() -> None:
    grey = np.full((100, 100), 120, np.uint8)
    grey[:2] = 20
    grey[2:4] = 140
    skew = look(grey)["grey_skew"]
    assert skew == pytest.approx((140 + 20 - 240) / 120, abs=0.02)
    assert look(255 - grey)["grey_skew"] == pytest.approx(-skew, abs=1e-9)


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 60.0), (2.0, -20.0), (0.5, 30.0)])
def test_brightness_and_contrast_move_nothing(gain: float, offset: float) -> None:
    texture = make_texture()
    as_is = look(np.rint(texture).astype(np.uint8))
    changed = look(np.rint(gain * texture + offset).clip(0, 255).astype(np.uint8))
    for name, value in as_is.items():
        assert changed[name] == pytest.approx(value, abs=0.02), name


def test_what_a_pixel_shows_depends_on_its_size() -> None:
    texture = np.rint(make_texture((400, 400))).astype(np.uint8)
    twice = Micrograph.from_array(
        "a", np.kron(texture, np.ones((2, 2), np.uint8)), PixelSize(5, "t")
    )
    assert describe_appearance(twice, 10) == look(texture)


def test_windows_add_up_and_the_data_bar_is_left_out() -> None:
    texture = np.rint(make_texture((400, 500))).astype(np.uint8)
    halves = Appearance()
    halves.add(texture[:, :250])
    halves.add(texture[:, 250:])
    for name, value in look(texture).items():
        assert halves.figures()[name] == pytest.approx(value, abs=0.02), name
    barred = np.vstack([texture, np.zeros((50, 500), np.uint8)])
    seen = Micrograph.from_array("a", barred, TEN, Box(0, 0, 400, 500))
    assert describe_appearance(seen, 10) == look(texture)


@pytest.mark.parametrize("shape", [(1, 1), (5, 700), (1715, 2000), (30_000, 50_000)])
def test_a_mosaic_is_sampled_and_small_images_are_seen_whole(shape: tuple[int, int]) -> None:
    seen: list[tuple[slice, slice]] = []

    def read(rows: slice, columns: slice) -> Grey:
        seen.append((rows, columns))
        return np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)

    describe_appearance(Micrograph("a", None, shape, read, Box.whole(shape), TEN), 10)
    sizes = [(r.stop - r.start) * (c.stop - c.start) for r, c in seen]
    assert sum(sizes) >= min(shape[0] * shape[1], 16 * 512**2)
    assert len(seen) <= 16
    assert max(sizes) <= 512**2
    assert all(r.start >= 0 and r.stop <= shape[0] and c.stop <= shape[1] for r, c in seen)
    assert (seen[-1][0].stop, seen[-1][1].stop) == shape


def test_what_cannot_be_measured_is_none() -> None:
    nothing = dict.fromkeys(("fine_texture", "coarse_texture", "texture_bend", "grey_skew"))
    assert look(np.full((40, 40), 7, np.uint8)) == nothing
    assert look(np.zeros((1, 1), np.uint8)) == nothing
    barred = Micrograph.from_array("a", np.eye(9, dtype=np.uint8), TEN, Box(0, 0, 0, 0))
    assert describe_appearance(barred, 10) == nothing  # all of it data bar
    tiny = look(np.arange(100, dtype=np.uint8).reshape(10, 10))
    assert tiny["fine_texture"] is not None
    assert tiny["coarse_texture"] is None


@pytest.mark.skipif(not KUMANO.is_dir(), reason="no shared data")
def test_whole_rows_and_all_of_them_on_a_real_micrograph() -> None:
    micrograph = open_micrograph(KUMANO / "kumano_15.tif")
    once = Appearance()
    once.add(micrograph.grey())
    for name, value in once.figures().items():
        assert describe_appearance(micrograph, 10)[name] == pytest.approx(value, abs=0.01), name
