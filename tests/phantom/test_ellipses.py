"""Ellipses on a grid: the pictures agree with the formulas in their facts."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phantom import make_ellipses

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.types import Phase


@given(
    major=st.floats(12, 29),
    ratio=st.floats(1, 3),
    angle=st.floats(0, 180),
    phase=st.sampled_from([Phase.SILT, Phase.PORE]),
)
def test_count_area_and_axes(major: float, ratio: float, angle: float, phase: Phase) -> None:
    axes = (major, major / ratio)
    phantom = make_ellipses(2, 3, semi_axes=axes, angle_degrees=angle, phase=phase)
    mask = phantom.phases == phase
    count, label, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    assert count - 1 == phantom.facts["count"] == 6
    # Gauss's circle problem: the count of centres is off by far less than the perimeter
    area = np.pi * axes[0] * axes[1]
    assert np.abs(stats[1:, cv2.CC_STAT_AREA] - area).max() < 0.5 * 2 * np.pi * major
    assert mask.mean() == pytest.approx(phantom.facts["area_fraction"], abs=0.02)
    rows, columns = np.nonzero(label == 1)
    spread = np.linalg.eigvalsh(np.cov(columns, rows))
    assert np.sqrt(spread[1] / spread[0]) == pytest.approx(phantom.facts["aspect_ratio"], rel=0.06)


def test_facts_carry_the_pixel_size() -> None:
    facts = make_ellipses(1, 1, semi_axes=(20, 20), pixel_size_nm=50.0).facts
    assert facts["ecd_um"] == pytest.approx(2.0)
    assert facts["area_um2"] == pytest.approx(np.pi)


def test_angle_runs_from_the_columns_towards_growing_rows() -> None:
    mask = make_ellipses(1, 1, semi_axes=(28, 5), angle_degrees=45).phases == Phase.PORE
    assert mask[45, 45]
    assert not mask[45, 18]


def test_touching_ellipses_are_refused() -> None:
    with pytest.raises(MudrockError, match="touch"):
        make_ellipses(1, 1, semi_axes=(32, 5))
