import numpy as np
import pytest

from mudrock_cli.measure.cells import count_cells
from mudrock_cli.measure.uncertainty import vary_window


def _noise(share: float, shape: tuple[int, int] = (1024, 1024)) -> np.ndarray:
    return np.where(np.random.default_rng(0).random(shape) < share, 2, 0).astype(np.uint8)


def test_white_noise_varies_as_the_binomial() -> None:
    share, side = 0.1, 16
    result = vary_window(count_cells(_noise(share), side), 2, side)
    expected = np.sqrt((1 - share) / share) / result.sides
    np.testing.assert_allclose(result.variation, expected, rtol=0.3)
    np.testing.assert_allclose(result.variation[:9], expected[:9], rtol=0.12)
    np.testing.assert_allclose(result.mean, share, rtol=0.02)
    assert result.size == pytest.approx(30, abs=18)  # 3 / side < 0.1


def test_scale_doubles_the_size() -> None:
    counts = count_cells(_noise(0.02), 16)
    once, twice = vary_window(counts, 2, 1.0), vary_window(counts, 2, 2.0)
    assert once.size is not None
    assert twice.size == 2 * once.size


def test_quarter_turn_changes_nothing() -> None:
    counts = count_cells(_noise(0.05), 32)
    turned = vary_window(np.rot90(counts), 2, 1.0)
    np.testing.assert_allclose(turned.variation, vary_window(counts, 2, 1.0).variation)


def test_a_field_of_two_halves_is_not_representative() -> None:
    phases = np.zeros((640, 640), np.uint8)
    phases[:, 320:] = 2
    result = vary_window(count_cells(phases, 10), 2, 10)
    assert result.size is None
    assert len(result.sides) > 5


def test_void_is_no_specimen() -> None:
    phases = _noise(0.1)
    barred = phases.copy()
    barred[900:] = 255
    whole = vary_window(count_cells(phases[:896], 32), 2, 32)
    void = vary_window(count_cells(barred, 32), 2, 32)
    shared = min(len(whole.mean), len(void.mean))
    np.testing.assert_allclose(void.mean[:shared], whole.mean[:shared], rtol=0.02)


def test_no_pore_and_no_specimen() -> None:
    clay = vary_window(count_cells(np.zeros((64, 64), np.uint8), 4), 2, 4)
    assert clay.size is None
    assert np.isnan(clay.variation).all()
    void = vary_window(count_cells(np.full((64, 64), 255, np.uint8), 4), 2, 4)
    assert void.size is None
    assert len(void.sides) == 0
