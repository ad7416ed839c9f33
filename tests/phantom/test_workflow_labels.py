"""Labels after the habits of the image-processing workflow, on shapes with known answers."""

import cv2
import numpy as np
import pytest
from phantom.geometry import RIM_UM, label_like_workflow

from mudrock_cli.image.types import Phase

DARK = np.zeros((600, 600), np.uint8)


def disc(radius: int) -> np.ndarray:
    phases = np.zeros((600, 600), np.uint8)
    cv2.circle(phases, (300, 300), radius, int(Phase.SILT), -1)
    return phases


def label(phases: np.ndarray, grey: np.ndarray = DARK) -> np.ndarray:
    return label_like_workflow(phases, grey, 10.0, pore_level=100)


def test_a_grain_retreats_by_the_rim() -> None:
    labels = label(disc(200))
    area = (labels == Phase.SILT).sum()
    assert np.sqrt(area / np.pi) == pytest.approx(200 - RIM_UM * 100, abs=1.5)
    assert (labels == Phase.SILT)[disc(200) == Phase.CLAY].sum() == 0


def test_pits_are_swallowed_and_pores_outside_stay() -> None:
    phases = disc(200)
    cv2.circle(phases, (320, 300), 6, int(Phase.PORE), -1)
    cv2.circle(phases, (40, 40), 6, int(Phase.PORE), -1)
    labels = label(phases)
    assert labels[300, 320] == Phase.SILT
    assert (labels[20:60, 20:60] == phases[20:60, 20:60]).all()


def test_a_pore_with_a_bright_floor_is_clay() -> None:
    phases = np.zeros((600, 600), np.uint8)
    phases[100:200, 100:300] = Phase.PORE
    grey = np.full((600, 600), 50, np.uint8)
    grey[:, 200:] = 140
    labels = label(phases, grey)
    assert (labels[100:200, 100:198] == Phase.PORE).all()
    assert (labels[100:200, 202:300] == Phase.CLAY).all()


@pytest.mark.parametrize(("radius", "is_silt"), [(112, False), (125, True)])
def test_silt_is_judged_after_the_retreat(radius: int, is_silt: bool) -> None:
    # 2 um across are 100 pixels of radius, plus the rim of 15
    assert (label(disc(radius)) == Phase.SILT).any() == is_silt


def test_a_small_piece_at_the_border_may_belong_to_a_large_grain() -> None:
    phases = np.roll(disc(110), 250, axis=1)
    phases[:, :200] = 0
    assert (label(phases) == Phase.SILT).any()


def test_a_spur_thinner_than_the_opening_goes() -> None:
    phases = disc(200)
    phases[290:311, 480:590] = Phase.SILT
    assert not (label(phases)[:, 510:] == Phase.SILT).any()
