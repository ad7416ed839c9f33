"""Against R's spatstat 3.0 (its data sets cells, redwood, swedishpines) and simulated patterns."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mudrock_cli.measure import spatial
from mudrock_cli.measure.spatial import clark_evans, nearest_distances, ripley_l
from mudrock_cli.measure.window import Window

SPATSTAT = json.loads((Path(__file__).parent / "spatstat.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("pattern", SPATSTAT.values(), ids=SPATSTAT)
def test_clark_evans_and_ripley_are_spatstats(pattern: dict[str, Any]) -> None:
    window = Window(*pattern["frame"])
    index = clark_evans(pattern["points"], window).index
    assert index == pytest.approx(pattern["index"], rel=1e-9)
    result = ripley_l(pattern["points"], window, pattern["radii"])
    np.testing.assert_allclose(math.pi * result.l**2, pattern["k"], rtol=1e-6, atol=1e-9)


def test_a_random_pattern_has_uniform_p_values_and_its_own_l() -> None:
    rng = np.random.default_rng(0)
    window, p, deviation = Window(60.0, 100.0), [], []
    for _ in range(200):
        points = rng.random((80, 2)) * (60, 100)
        p.append(clark_evans(points, window).p)
        result = ripley_l(points, window)
        deviation.append(np.abs(result.l - result.radii).max() > result.critical)
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.05)
    assert np.mean(p) == pytest.approx(0.5, abs=0.06)
    assert 0 < np.mean(deviation) < 0.1


def test_many_random_points_stay_within_the_critical_value() -> None:
    """Ripley's own ``1.42 sqrt(A) / n`` is left by six in ten such patterns."""
    rng = np.random.default_rng(4)
    window, left = Window(1.0, 1.0), []
    for _ in range(40):
        result = ripley_l(rng.random((1200, 2)), window)
        left.append(np.abs(result.l - result.radii).max() > result.critical)
    assert result.critical > 1.42 * 2 / 1200
    assert np.mean(left) <= 0.15


def round_window(side: float = 100.0, cells: int = 200) -> Window:
    """A disc that touches the sides of its square field."""
    middle = (np.arange(10 * cells) + 0.5) * side / (10 * cells) - side / 2
    outside = np.hypot(middle[:, None], middle[None, :]) > side / 2
    parts = outside.reshape(cells, 10, cells, 10).mean(axis=(1, 3))
    return Window(side, side, parts * (side / cells) ** 2, side / cells)


def test_random_points_in_a_round_field_are_random() -> None:
    window, rng = round_window(), np.random.default_rng(5)
    assert window.area == pytest.approx(np.pi * 50**2, rel=1e-3)
    assert window.perimeter(2.0) == pytest.approx(np.pi * 100, rel=0.03)
    index, p, left = [], [], []
    for _ in range(150):
        points = rng.random((150, 2)) * 100
        points = points[np.hypot(*(points - 50).T) < 50]
        found, ripley = clark_evans(points, window), ripley_l(points, window)
        index.append(found.index)
        p.append(found.p)
        left.append(np.abs(ripley.l - ripley.radii).max() > ripley.critical)
    assert np.mean(index) == pytest.approx(1, abs=0.015)
    assert np.mean(np.array(p) < 0.05) <= 0.11
    assert np.mean(left) <= 0.11
    boxed = clark_evans(points, Window(100.0, 100.0))  # what the square around it would tell
    assert boxed.index < found.index - 0.05


def test_a_window_without_void_on_a_grid_is_the_rectangle() -> None:
    rng = np.random.default_rng(6)
    points = rng.random((200, 2)) * (60, 100)
    plain, gridded = Window(60.0, 100.0), Window(60.0, 100.0, np.zeros((150, 250)), 0.4)
    assert gridded.area == plain.area
    np.testing.assert_allclose(
        gridded.covariance(np.array([0, 3.0, 10]), np.array([0, -7.0, 12])),
        plain.covariance(np.array([0, 3.0, 10]), np.array([0, -7.0, 12])),
        rtol=0.02,
    )
    assert gridded.perimeter(3.0) == pytest.approx(plain.perimeter(3.0), rel=0.03)
    one, two = ripley_l(points, plain), ripley_l(points, gridded)
    np.testing.assert_allclose(two.l, one.l, rtol=0.02)
    assert two.critical == pytest.approx(one.critical, rel=0.05)


def test_clusters_and_lattices() -> None:
    rng = np.random.default_rng(1)
    seeds = rng.random((12, 2)) * 80 + 10
    clustered = np.repeat(seeds, 10, axis=0) + rng.normal(0, 1, (120, 2))
    assert clark_evans(clustered, Window(100, 100)).index < 0.5
    lattice = np.stack(np.meshgrid(np.arange(5, 100, 10), np.arange(5, 100, 10)), -1).reshape(-1, 2)
    result = clark_evans(lattice, Window(100, 100))
    assert result.index > 1.6
    assert result.p < 1e-6
    assert (nearest_distances(lattice) == 10).all()


def test_scale_and_quarter_turn() -> None:
    rng = np.random.default_rng(2)
    points = rng.random((150, 2)) * (40, 90)
    once = ripley_l(points, Window(40, 90))
    twice = ripley_l(2 * points, Window(80, 180))
    turned = ripley_l(points[:, ::-1], Window(90, 40))
    np.testing.assert_allclose(twice.radii, 2 * once.radii)
    np.testing.assert_allclose(twice.l, 2 * once.l)
    np.testing.assert_allclose(turned.l, once.l)
    assert clark_evans(2 * points, Window(80, 180)).index == pytest.approx(
        clark_evans(points, Window(40, 90)).index
    )


def test_many_points_on_a_grid_give_what_the_exact_sum_gives() -> None:
    rng = np.random.default_rng(3)
    frame = (70.0, 100.0)
    seeds = rng.random((60, 2)) * frame
    points = np.repeat(seeds, 50, axis=0) + rng.normal(0, 2, (3000, 2))
    points = points[((points > 0) & (points < frame)).all(axis=1)]
    radii = np.linspace(1, 17, 40)
    exact = np.cumsum(spatial._count_exact(points, Window(*frame), radii))
    gridded = np.cumsum(spatial._count_gridded(points, Window(*frame), radii))
    np.testing.assert_allclose(gridded, exact, rtol=1e-2)


def test_too_few_points() -> None:
    four = np.array([[0.2, 0.2], [0.2, 0.8], [0.8, 0.2], [0.8, 0.8]])
    assert clark_evans(four, Window(1, 1)).index > 1
    assert math.isnan(clark_evans(four, Window(1, 1)).p)
    assert clark_evans(np.concatenate([four, four / 2]), Window(1, 1)).p > 0
    assert math.isnan(clark_evans([], Window(1, 1)).index)
    assert math.isnan(clark_evans([[0.5, 0.5]], Window(1, 1)).p)
    assert np.isnan(nearest_distances([[1, 2]])).all()
    assert len(nearest_distances([])) == 0
    assert np.isnan(ripley_l([[0.5, 0.5]], Window(1, 1)).l).all()
