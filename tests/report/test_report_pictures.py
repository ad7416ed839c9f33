import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.types import Level
from mudrock_cli.measure.components import label_mask
from mudrock_cli.report import viewer as pictures
from mudrock_cli.report.viewer import make_pictures


def _mask(shape: tuple[int, int], share: float = 0.1) -> PhaseMask:
    rng = np.random.default_rng(0)
    phases = (rng.random(shape) < share).astype(np.uint8) * 2
    phases[: shape[0] // 4, : shape[1] // 3] = 1
    return PhaseMask.from_array("m", phases)


def _open(picture: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(picture)))


def test_labels_come_back_exactly_at_full_size() -> None:
    mask = _mask((210, 340), 0.3)
    made = make_pictures(mask, None, 10_000_000)
    assert (made.height, made.width) == mask.shape
    colours = _open(made.labels).astype(np.uint32) @ np.array([1, 256, 65536])
    truth = np.concatenate(list(label_mask(mask).paint(mask)))
    assert truth.max() > 256
    np.testing.assert_array_equal(colours, truth)


def test_phases_are_coloured_and_clay_is_clear() -> None:
    mask = _mask((60, 80))
    shown = _open(make_pictures(mask, _grey(mask.shape), 10_000_000).phases)
    phases = mask.phases()
    assert (shown[phases == 0, 3] == 0).all()
    assert (shown[phases == 1] == (213, 94, 0, 255)).all()
    assert (shown[phases == 2] == (0, 158, 115, 255)).all()
    alone = _open(make_pictures(mask, None, 10_000_000).phases)
    assert alone.shape[2] == 3 or (alone[..., 3] == 255).all()


def _grey(shape: tuple[int, int]) -> Micrograph:
    grey = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    return Micrograph.from_array("m", grey)


@pytest.mark.parametrize("budget", [400_000, 120_000])
def test_pictures_keep_to_the_budget(budget: int) -> None:
    mask = _mask((1500, 2000), 0.02)
    made = make_pictures(mask, _grey(mask.shape), budget)
    assert made.size <= budget
    assert made.width > made.height
    assert made.grey is not None
    assert _open(made.grey).shape[:2] == _open(made.labels).shape[:2]


def test_a_grey_picture_is_the_average_of_its_pixels() -> None:
    ramp = np.tile(np.arange(2800) // 11, (2100, 1)).astype(np.uint8)
    mask = PhaseMask.from_array("m", np.zeros(ramp.shape, np.uint8))
    made = make_pictures(mask, Micrograph.from_array("m", ramp), 400_000)
    assert made.grey is not None
    shown = _open(made.grey)[..., 0].astype(float)
    expected = np.interp(np.linspace(0, 2799, made.width), np.arange(2800), ramp[0].astype(float))
    assert np.abs(shown.mean(axis=0) - expected).max() < 4


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (1, 700), (3000, 2)])
def test_odd_shapes(shape: tuple[int, int]) -> None:
    mask = PhaseMask.from_array("m", np.full(shape, 2, np.uint8))
    made = make_pictures(mask, _grey(shape), 100_000)
    assert _open(made.phases).shape[:2] == (made.height, made.width)


def test_of_large_images_a_smaller_level_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = _mask((1100, 1600), 0.1)
    phases, grey = mask.phases(), _grey(mask.shape).grey()
    monkeypatch.setattr(pictures, "_STEPS", ((400, 60), (200, 50)))
    monkeypatch.setattr(pictures, "_WHOLE_PIXELS", 100)

    def refuse(rows: slice, columns: slice) -> np.ndarray:
        raise AssertionError("the whole micrograph was read")

    def reduce(pixels: np.ndarray) -> tuple[Level, ...]:
        return tuple(
            Level(small.shape, lambda rows, columns, small=small: small[rows, columns])
            for small in (pixels[::2, ::2], pixels[::4, ::4], pixels[::8, ::8])
        )

    mask = replace(mask, reduced=reduce(phases))
    micrograph = replace(Micrograph.from_array("m", grey), read=refuse, reduced=reduce(grey))
    made = make_pictures(mask, micrograph, 10_000_000)
    assert (made.height, made.width) == (275, 400)
    shown = _open(made.phases)
    assert (shown[phases[::4, ::4] == 2] == (0, 158, 115, 255)).all()
    colours = _open(made.labels).astype(np.uint32) @ np.array([1, 256, 65536])
    truth = np.concatenate(list(label_mask(mask).paint(mask)))
    np.testing.assert_array_equal(colours, truth[::4, ::4])
