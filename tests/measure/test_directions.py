import math

import numpy as np
import pytest

from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Phase, PixelSize
from mudrock_cli.measure.components import label_mask
from mudrock_cli.measure.instances import measure_objects
from mudrock_cli.measure.spatial import axial_mean, have_direction, rayleigh_p, rose


def test_parallel_axes_have_their_own_direction() -> None:
    angles = np.array([0.3, 0.3 + math.pi, 0.3 - math.pi])
    mean = axial_mean(angles)
    assert mean.angle == pytest.approx(0.3)
    assert mean.strength == pytest.approx(1)


def test_axes_at_right_angles_cancel() -> None:
    mean = axial_mean([0.1, 0.1 + math.pi / 2])
    assert mean.strength == pytest.approx(0, abs=1e-12)
    assert mean.p == pytest.approx(1, abs=0.01)


def test_rayleigh_is_astropys() -> None:
    """rayleightest of astropy 8.0 on the doubled angles: data of its documentation, 60 draws."""
    degrees = np.array([130, 90, 0, 145])
    mean = axial_mean(np.deg2rad(degrees) / 2)
    assert mean.p == pytest.approx(0.2563487733797317, rel=1e-9)
    many = np.random.default_rng(5).vonmises(0.4, 0.8, 60)
    assert axial_mean(many / 2).p == pytest.approx(0.0045019975788027295, rel=1e-9)


def test_p_is_uniform_without_direction() -> None:
    rng = np.random.default_rng(0)
    p = [axial_mean(rng.uniform(0, math.pi, 40)).p for _ in range(400)]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(p) == pytest.approx(0.5, abs=0.05)


def test_weights_are_repetition_for_the_mean() -> None:
    weighted = axial_mean([0.1, 1.2], [3, 1])
    repeated = axial_mean([0.1, 0.1, 0.1, 1.2])
    assert weighted.angle == pytest.approx(repeated.angle)
    assert weighted.strength == pytest.approx(repeated.strength)
    assert weighted.number == pytest.approx(1.6)


def test_quarter_turn_turns_the_mean_and_nothing_else() -> None:
    angles = np.random.default_rng(1).normal(0.2, 0.3, 50)
    once, turned = axial_mean(angles), axial_mean(angles + math.pi / 2)
    assert math.cos(2 * (turned.angle - once.angle)) == pytest.approx(-1)
    assert turned.strength == pytest.approx(once.strength)


def test_rose_counts_axes() -> None:
    angles = np.deg2rad([-89, -89, 1, 91, 271, 45])
    edges, shares = rose(angles, np.ones(6))
    assert len(edges) == 19
    assert shares.sum() == pytest.approx(1)
    assert shares[0] == pytest.approx(4 / 6)  # 91 and 271 are the axis -89
    assert shares[9] == pytest.approx(1 / 6)
    assert shares[13] == pytest.approx(1 / 6)
    by_area = rose(angles, [1, 1, 6, 1, 1, 0])[1]
    assert by_area[9] == pytest.approx(0.6)


def test_grains_in_a_strip_have_no_direction_from_its_frame() -> None:
    """Ellipses in all directions, a third of them cut: whole ones, weighed, tell no direction."""
    rng = np.random.default_rng(3)
    cut, whole = [], []
    for _ in range(60):
        phases = np.zeros((60, 900), np.uint8)
        for column in range(20, 900, 40):
            row, turn = rng.uniform(-12, 72), rng.random() * np.pi
            y, x = np.arange(60)[:, None] - row, np.arange(900) - column
            along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
            phases[(along / 15) ** 2 + (across / 11) ** 2 <= 1] = Phase.SILT
        labelling = label_mask(PhaseMask.from_array("a", phases))
        columns = measure_objects(labelling, PixelSize(100, "test"), 0.0)
        names = ("orientation_deg", "aspect_ratio", "area_px", "frame_weight")
        angle, aspect, pixels, weight = (columns[name] for name in names)
        directed = have_direction(angle, aspect, pixels)
        axes = np.radians(angle[directed])
        cut.append(axial_mean(axes).p < 0.05)
        whole.append(axial_mean(axes, weight[directed]).p < 0.05)
    assert np.mean(cut) > 0.25
    assert np.mean(whole) < 0.15


def test_nothing() -> None:
    assert math.isnan(axial_mean([]).angle)
    assert rose([], [])[1].sum() == 0
    assert rayleigh_p(0.0, 10) == 1


def test_round_and_unresolved_objects_have_no_direction() -> None:
    axis = np.array([10.0, 10.0, np.nan, 10.0, 10.0])
    aspect = np.array([1.2, 1.19, 2.0, 3.0, np.nan])  # the last is a line of pixels
    pixels = np.array([9, 90, 90, 8, 9], np.int64)
    assert have_direction(axis, aspect, pixels).tolist() == [True, False, False, False, True]
