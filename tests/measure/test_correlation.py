import numpy as np
import pytest

from mudrock_cli.measure.spatial import specific_boundary, sum_pairs


def _brute(phase: np.ndarray, specimen: np.ndarray, reach: int) -> np.ndarray:
    """Count every pair of pixels one by one."""
    rows, columns = np.nonzero(specimen)
    inside = (phase & specimen)[rows, columns]
    ring = np.rint(np.hypot(rows[:, None] - rows, columns[:, None] - columns)).astype(int)
    return np.array(
        [
            (inside[:, None] & inside)[ring == r].mean() if (ring == r).any() else np.nan
            for r in range(reach + 1)
        ]
    )


@pytest.mark.parametrize("void", [False, True])
def test_equals_counting_every_pair(void: bool) -> None:
    rng = np.random.default_rng(0)
    phase = rng.random((23, 31)) < 0.3
    specimen = np.ones_like(phase)
    if void:
        specimen[18:] = False
        specimen[:, 7] = False
    ours = sum_pairs(phase, specimen, 9).correlate()
    np.testing.assert_allclose(ours, _brute(phase, specimen, 9), rtol=1e-4, atol=1e-6)


def test_white_noise_forgets_at_once() -> None:
    phase = np.random.default_rng(1).random((400, 300)) < 0.2
    correlation = sum_pairs(phase, np.ones_like(phase), 40).correlate()
    assert correlation[0] == pytest.approx(phase.mean(), rel=1e-4)
    np.testing.assert_allclose(correlation[1:], 0.04, atol=0.002)


def test_slope_at_the_start_is_the_boundary_of_discs() -> None:
    """Discs of radius 20 well apart: boundary 2 pi r each, known without any estimate."""
    row, column = np.mgrid[:800, :800]
    phase = ((row % 100 - 50) ** 2 + (column % 100 - 50) ** 2) <= 20**2
    correlation = sum_pairs(phase, np.ones_like(phase), 5).correlate()
    expected = 2 * np.pi * 20 / 100**2
    assert specific_boundary(correlation, 1.0) == pytest.approx(expected, rel=0.2)
    assert specific_boundary(correlation, 0.5) == pytest.approx(
        2 * specific_boundary(correlation, 1.0)
    )


def test_quarter_turn_and_tiles() -> None:
    phase = np.random.default_rng(2).random((120, 120)) < 0.4
    specimen = np.ones_like(phase)
    once = sum_pairs(phase, specimen, 20)
    turned = sum_pairs(np.rot90(phase), specimen, 20)
    np.testing.assert_allclose(turned.correlate(), once.correlate(), rtol=1e-4)
    both = once + once
    np.testing.assert_allclose(both.correlate(), once.correlate())


def test_reach_is_cut_and_void_alone_is_undefined() -> None:
    phase = np.ones((5, 9), bool)
    assert len(sum_pairs(phase, phase, 50).correlate()) == 5
    assert np.isnan(sum_pairs(phase, ~phase, 3).correlate()).all()


@pytest.mark.parametrize("shape", [(1, 30), (30, 1), (1, 1), (2, 30)])
@pytest.mark.parametrize("void", [False, True])
def test_lines_of_pixels_reach_no_further_than_their_width(
    shape: tuple[int, int], void: bool
) -> None:
    phase = np.random.default_rng(2).random(shape) < 0.4
    specimen = np.ones_like(phase)
    specimen.ravel()[1:2] = not void
    ours = sum_pairs(phase, specimen, 9).correlate()
    assert len(ours) == min(shape)
    expected = _brute(phase, specimen, min(shape) - 1)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)
