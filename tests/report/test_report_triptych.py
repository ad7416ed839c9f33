"""The triptych shows the truth, the prediction, and every wrong pixel in its colour."""

import numpy as np
import pytest

from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.types import PixelSize
from mudrock_cli.report import overlay as triptych
from mudrock_cli.report.overlay import ERRORS, classify_errors, draw_triptych


def test_kinds_of_errors() -> None:
    truth = np.array([[0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 255, 255]], np.uint8)
    prediction = np.array([[0, 1, 2, 255, 0, 1, 2, 0, 1, 2, 0, 1]], np.uint8)
    names = ["", *(name for name, _ in ERRORS)]
    found = [names[code] for code in classify_errors(truth, prediction)[0]]
    assert found == [
        *("", "silt invented", "pore invented", "no phase"),
        *("silt missed", "", "pore invented"),
        *("pore missed", "silt invented", ""),
        *("", ""),
    ]


def test_wrong_pixels_and_only_they_are_coloured() -> None:
    truth = np.zeros((40, 60), np.uint8)
    prediction = truth.copy()
    prediction[10:20, 10:30] = 1
    micrograph = Micrograph.from_array("m", np.full(truth.shape, 120, np.uint8))
    masks = [PhaseMask.from_array("m", mask) for mask in (truth, prediction)]
    rgb = draw_triptych(*masks, micrograph, None, "a method")
    assert rgb.shape[1] == 3 * 60 + 2 * triptych._GAP
    third = rgb[-40:, -60:]
    red = (third == ERRORS[0][1]).all(axis=2)
    assert np.array_equal(red, prediction == 1)
    assert len(np.unique(third[~red].reshape(-1, 3), axis=0)) == 1


@pytest.mark.parametrize("shape", [(1, 1), (3, 5000), (4300, 20)])
def test_any_shape_fits(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triptych, "_BAND_PIXELS", 5000)
    mask = PhaseMask.from_array("m", np.ones(shape, np.uint8))
    rgb = draw_triptych(mask, mask, None, PixelSize(10, "test"), "a method")
    assert rgb.shape[1] <= triptych.MAX_SIDE + 3
