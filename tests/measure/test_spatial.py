"""Against R's spatstat 3.0 (its data sets cells, redwood, swedishpines) and simulated patterns."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mudrock_cli.measure import spatial
from mudrock_cli.measure.spatial import clark_evans, nearest_distances, ripley_l

SPATSTAT = json.loads((Path(__file__).parent / "spatstat.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("pattern", SPATSTAT.values(), ids=SPATSTAT)
def test_clark_evans_is_spatstats(pattern: dict[str, Any]) -> None:
    result = clark_evans(pattern["points"], pattern["frame"])
    assert result.index == pytest.approx(pattern["index"], rel=1e-9)


@pytest.mark.parametrize("pattern", SPATSTAT.values(), ids=SPATSTAT)
def test_ripley_is_spatstats(pattern: dict[str, Any]) -> None:
    result = ripley_l(pattern["points"], pattern["frame"], pattern["radii"])
    np.testing.assert_allclose(result.k, pattern["k"], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(result.l, np.sqrt(result.k / math.pi))


def test_a_random_pattern_has_uniform_p_values_and_its_own_l() -> None:
    rng = np.random.default_rng(0)
    frame, p, deviation = (60.0, 100.0), [], []
    for _ in range(200):
        points = rng.random((80, 2)) * frame
        p.append(clark_evans(points, frame).p)
        result = ripley_l(points, frame)
        deviation.append(np.abs(result.l - result.radii).max() > result.critical)
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.05)
    assert np.mean(p) == pytest.approx(0.5, abs=0.06)
    assert np.mean(deviation) < 0.12


def test_clusters_and_lattices() -> None:
    rng = np.random.default_rng(1)
    seeds = rng.random((12, 2)) * 80 + 10
    clustered = np.repeat(seeds, 10, axis=0) + rng.normal(0, 1, (120, 2))
    assert clark_evans(clustered, (100, 100)).index < 0.5
    lattice = np.stack(np.meshgrid(np.arange(5, 100, 10), np.arange(5, 100, 10)), -1).reshape(-1, 2)
    result = clark_evans(lattice, (100, 100))
    assert result.index > 1.6
    assert result.p < 1e-6
    assert (nearest_distances(lattice) == 10).all()


def test_scale_and_quarter_turn() -> None:
    rng = np.random.default_rng(2)
    points = rng.random((150, 2)) * (40, 90)
    once = ripley_l(points, (40, 90))
    twice = ripley_l(2 * points, (80, 180))
    turned = ripley_l(points[:, ::-1], (90, 40))
    np.testing.assert_allclose(twice.radii, 2 * once.radii)
    np.testing.assert_allclose(twice.l, 2 * once.l)
    np.testing.assert_allclose(turned.l, once.l)
    assert clark_evans(2 * points, (80, 180)).index == pytest.approx(
        clark_evans(points, (40, 90)).index
    )


def test_many_points_on_a_grid_give_what_the_exact_sum_gives() -> None:
    rng = np.random.default_rng(3)
    frame = (70.0, 100.0)
    seeds = rng.random((60, 2)) * frame
    points = np.repeat(seeds, 50, axis=0) + rng.normal(0, 2, (3000, 2))
    points = points[((points > 0) & (points < frame)).all(axis=1)]
    radii = np.linspace(1, 17, 40)
    exact = np.cumsum(spatial._count_exact(points, frame, radii))
    gridded = np.cumsum(spatial._count_gridded(points, frame, radii))
    np.testing.assert_allclose(gridded, exact, rtol=1e-2)


def test_too_few_points() -> None:
    assert math.isnan(clark_evans([], (1, 1)).index)
    assert math.isnan(clark_evans([[0.5, 0.5]], (1, 1)).p)
    assert np.isnan(nearest_distances([[1, 2]])).all()
    assert len(nearest_distances([])) == 0
    assert np.isnan(ripley_l([[0.5, 0.5]], (1, 1)).l).all()
