import io

import numpy as np
import pytest
from PIL import Image

from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.measure.labelling import label_mask
from mudrock_cli.report.pictures import make_pictures


def _mask(shape: tuple[int, int], share: float = 0.1) -> PhaseMask:
    rng = np.random.default_rng(0)
    phases = (rng.random(shape) < share).astype(np.uint8) * 2
    phases[: shape[0] // 4, : shape[1] // 3] = 1
    return PhaseMask.from_array("m", phases)


def _open(picture: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(picture)))


def test_labels_come_back_exactly_at_full_size() -> None:
    mask = _mask((210, 340), 0.3)
    pictures = make_pictures(mask, None, 10_000_000)
    assert (pictures.height, pictures.width) == mask.shape
    colours = _open(pictures.labels).astype(np.uint32) @ np.array([1, 256, 65536])
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
    pictures = make_pictures(mask, _grey(mask.shape), budget)
    assert pictures.size <= budget
    assert pictures.width > pictures.height
    assert pictures.grey is not None
    assert _open(pictures.grey).shape[:2] == _open(pictures.labels).shape[:2]


def test_a_grey_picture_is_the_average_of_its_pixels() -> None:
    ramp = np.tile(np.arange(2800) // 11, (2100, 1)).astype(np.uint8)
    mask = PhaseMask.from_array("m", np.zeros(ramp.shape, np.uint8))
    pictures = make_pictures(mask, Micrograph.from_array("m", ramp), 400_000)
    assert pictures.grey is not None
    shown = _open(pictures.grey)[..., 0].astype(float)
    expected = np.interp(
        np.linspace(0, 2799, pictures.width), np.arange(2800), ramp[0].astype(float)
    )
    assert np.abs(shown.mean(axis=0) - expected).max() < 4


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (1, 700), (3000, 2)])
def test_odd_shapes(shape: tuple[int, int]) -> None:
    mask = PhaseMask.from_array("m", np.full(shape, 2, np.uint8))
    pictures = make_pictures(mask, _grey(shape), 100_000)
    assert _open(pictures.phases).shape[:2] == (pictures.height, pictures.width)
