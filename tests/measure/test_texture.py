"""Pairs of pixels, and the windows over fields of any size in which texture is measured."""

import numpy as np
import pytest

from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Phase
from mudrock_cli.measure.texture import lay_windows, measure_texture, read_windows, sum_pairs


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


@pytest.mark.parametrize("radius", [2.5, 4, 7, 12, 20, 45])
def test_boundary_of_discs_is_right_at_any_resolution(radius: float) -> None:
    """Discs well apart: a boundary of 2 pi r each, known without any estimate."""
    rng, pitch = np.random.default_rng(0), int(2 * radius) + 20
    lengths = []
    for _ in range(30):
        row, column = np.mgrid[: 3 * pitch, : 3 * pitch] % pitch - pitch / 2 - rng.random((2, 1, 1))
        phase = row**2 + column**2 <= radius**2
        lengths.append(sum_pairs(phase, np.ones_like(phase), 3).boundary() * pitch**2)
    # Steps at the array's edge are no loss: the discs lie inside.
    inner = (3 * pitch) ** 2 / ((3 * pitch - 1) * 3 * pitch)
    assert np.mean(lengths) / inner == pytest.approx(2 * np.pi * radius, rel=0.01)


def test_void_has_no_boundary() -> None:
    phase = np.zeros((60, 60), bool)
    phase[20:40, 20:40] = True
    everywhere = np.ones_like(phase)
    specimen = everywhere.copy()
    specimen[:, 30:] = False
    whole, half = (sum_pairs(phase, each, 5) for each in (everywhere, specimen))
    assert half.crossings[0] == whole.crossings[0] / 2
    assert half.boundary() == pytest.approx(whole.boundary(), rel=0.05)


def test_distances_are_the_mean_of_the_pairs() -> None:
    lags = sum_pairs(np.ones((9, 9), bool), np.ones((9, 9), bool), 2).lags()
    straight, diagonal = 9 * 8, 8 * 8
    assert lags[0] == 0
    assert lags[1] == pytest.approx(
        (2 * straight + 2 * diagonal * np.sqrt(2)) / (2 * straight + 2 * diagonal)
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


def test_windows_cover_a_usual_micrograph() -> None:
    for shape in ((1715, 2000), (3000, 4096), (20, 3000)):
        seen = np.zeros(shape, np.int8)
        for box in lay_windows(shape):
            seen[box.rows, box.columns] += 1
        assert (seen == 1).all()


def test_windows_of_a_mosaic_are_four_and_spread() -> None:
    boxes = lay_windows((20_000, 30_000))
    assert [box.shape for box in boxes] == 4 * [(2048, 2048)]
    middles = {((box.top + box.bottom) // 2, (box.left + box.right) // 2) for box in boxes}
    assert middles == {(5000, 7500), (5000, 22500), (15000, 7500), (15000, 22500)}


def test_texture_starts_at_the_fraction() -> None:
    phases = np.random.default_rng(1).choice([0, 1, 2], (100, 120)).astype(np.uint8)
    texture = measure_texture(
        read_windows(PhaseMask.from_array("a", phases), np.zeros((5, 0), int))
    )
    for phase, pairs in texture.pairs.items():
        assert pairs.correlate()[0] == pytest.approx((phases == phase).mean(), rel=1e-5)
        assert len(pairs.correlate()) == 26  # a quarter of the field, and zero


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1)])
def test_a_line_of_pixels_has_a_texture_without_distances(shape: tuple[int, int]) -> None:
    phases = np.random.default_rng(3).choice([0, 1, 2], shape).astype(np.uint8)
    texture = measure_texture([phases])
    assert texture.pairs[Phase.PORE].correlate() == pytest.approx([np.mean(phases == Phase.PORE)])
    silt = np.concatenate([[0], phases.ravel() == Phase.SILT])
    assert texture.contacts.grains == np.count_nonzero(np.diff(silt) == 1)
