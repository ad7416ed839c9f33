import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from mudrock_cli.measure.sizes import (
    describe_weights,
    effective_number,
    frame_weights,
)
from mudrock_cli.measure.window import Window


def test_weight_is_the_inverse_of_the_iso_formula() -> None:
    weights = frame_weights([10.0], [20.0], [False], Window(100.0, 200.0))
    assert weights[0] == pytest.approx(200 * 100 / ((200 - 20) * (100 - 10)))


def test_cut_and_oversized_objects_have_no_weight() -> None:
    weights = frame_weights([10, 100, 5], [10, 10, 5], [True, False, False], Window(100, 100))
    assert weights[:2].tolist() == [0, 0]
    assert weights[2] > 1
    assert Window(100, 100).inclusion([120], [5])[0] == 0


def test_scale_and_quarter_turn_change_nothing() -> None:
    rng = np.random.default_rng(1)
    heights, widths = rng.uniform(1, 50, (2, 40))
    touches = rng.random(40) < 0.2
    weights = frame_weights(heights, widths, touches, Window(80, 120))
    scaled = frame_weights(2 * heights, 2 * widths, touches, Window(160, 240))
    turned = frame_weights(widths, heights, touches, Window(120, 80))
    np.testing.assert_allclose(scaled, weights)
    np.testing.assert_allclose(turned, weights)


def test_corrected_mean_and_number_are_unbiased_and_raw_ones_are_not() -> None:
    """Discs of known sizes thrown on a plane: what a frame sees, and what weights make of it."""
    rng = np.random.default_rng(2)
    height, width = 60.0, 100.0
    number = 400_000
    diameter = rng.choice([4.0, 12.0, 30.0], number, p=[0.5, 0.3, 0.2])
    margin = 40.0
    row = rng.uniform(-margin, height + margin, number)
    column = rng.uniform(-margin, width + margin, number)
    density = number / ((height + 2 * margin) * (width + 2 * margin))
    radius = diameter / 2
    seen = (np.abs(row - height / 2) < height / 2 + radius) & (
        np.abs(column - width / 2) < width / 2 + radius
    )
    inside = (np.abs(row - height / 2) < height / 2 - radius) & (
        np.abs(column - width / 2) < width / 2 - radius
    )
    weights = frame_weights(diameter[seen], diameter[seen], ~inside[seen], Window(height, width))
    true_mean = 0.5 * 4 + 0.3 * 12 + 0.2 * 30
    assert np.average(diameter[seen], weights=weights) == pytest.approx(true_mean, rel=0.01)
    assert weights.sum() == pytest.approx(density * height * width, rel=0.01)
    assert diameter[inside].mean() < 0.9 * true_mean
    assert diameter[seen].mean() > 1.1 * true_mean


def test_effective_number() -> None:
    assert effective_number([3, 3, 3, 3]) == pytest.approx(4)
    assert effective_number([1, 0, 0]) == 1
    assert effective_number([]) == 0
    assert effective_number([1, 2, 3]) == pytest.approx(36 / 14)


def test_description_warns_of_one_heavy_object_and_of_few_objects() -> None:
    steady = describe_weights(np.full(100, 1.1))
    assert not steady.unstable
    assert steady.corrected_number == pytest.approx(110)
    heavy = describe_weights(np.r_[np.ones(100), 50.0])
    assert heavy.unstable
    assert heavy.largest_weight == 50
    few = describe_weights([1.0, 1.0, 0.0])
    assert (few.counted, few.unstable) == (2, True)
    assert describe_weights([]).unstable


@pytest.mark.parametrize("shape", ["round", "box cut out", "crack"])
def test_weights_on_a_specimen_of_any_shape_give_the_number_of_its_discs(shape: str) -> None:
    """Discs thrown on a specimen that is no rectangle: whole ones, weighed, count all."""
    side, cells, rng = 100.0, 250, np.random.default_rng(3)
    middle = (np.arange(cells) + 0.5) * side / cells
    row, column = middle[:, None], middle[None, :]
    specimen = {
        "round": np.hypot(row - 50, column - 50) < 50,
        "box cut out": (row < 70) | (column < 60),
        "crack": np.abs(row - 40 - column / 5) > 1,
    }[shape]
    edge = distance_transform_edt(np.pad(specimen, 1)) * side / cells - side / cells / 2
    window = Window(side, side, ~specimen * (side / cells) ** 2, side / cells)
    place = rng.integers(cells, size=(200_000, 2))
    place = place[specimen[place[:, 0], place[:, 1]]]
    for diameter in (3.0, 10.0, 25.0):
        whole = edge[1:-1, 1:-1][place[:, 0], place[:, 1]] > diameter / 2
        sizes = np.full(len(place), diameter)
        weights = frame_weights(sizes, sizes, ~whole, window)
        assert weights.sum() == pytest.approx(len(place), rel=0.03)
