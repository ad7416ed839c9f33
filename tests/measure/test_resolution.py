import math

import numpy as np
import pytest

from mudrock_cli.measure.sizes import bin_sizes, resolvable_diameter, share_near_limit


def test_nine_pixels() -> None:
    diameter = resolvable_diameter(0.01)
    assert math.pi / 4 * diameter**2 == pytest.approx(9 * 0.01**2)
    assert resolvable_diameter(0.02) == pytest.approx(2 * diameter)


def test_share_counts_area_up_to_twice_the_limit() -> None:
    limit = resolvable_diameter(0.01)
    diameter = np.array([limit, 1.9 * limit, 2.1 * limit])
    area = np.array([1.0, 3.0, 12.0])
    assert share_near_limit(diameter, area, 0.01) == pytest.approx(4 / 16)
    assert math.isnan(share_near_limit([], [], 0.01))


def test_histogram_holds_everything_and_keeps_its_classes() -> None:
    rng = np.random.default_rng(0)
    diameter = rng.lognormal(0, 1, 500)
    edges, number, area = bin_sizes(diameter, diameter**2)
    assert number.sum() == pytest.approx(1)
    assert area.sum() == pytest.approx(1)
    counted, _ = np.histogram(diameter, edges)
    np.testing.assert_allclose(number, counted / 500)
    powers = np.log10(edges) * 10
    np.testing.assert_allclose(powers, np.round(powers), atol=1e-9)


def test_ten_times_larger_is_one_decade_further() -> None:
    diameter = np.array([0.11, 0.2, 0.35, 0.9])
    small, large = bin_sizes(diameter, diameter**2), bin_sizes(10 * diameter, diameter**2)
    np.testing.assert_allclose(large[0], 10 * small[0])
    np.testing.assert_allclose(large[2], small[2])
