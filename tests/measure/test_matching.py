"""Instance matching against a worked example, brute force and SciPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Phase
from mudrock_cli.measure.scores import Matches, count_overlaps, match_instances

EIGHT = np.ones((3, 3))


def match_pores(truth: np.ndarray, prediction: np.ndarray, min_pixels: int = 1) -> Matches:
    masks = [PhaseMask.from_array("m", 2 * mask.astype(np.uint8)) for mask in (truth, prediction)]
    return match_instances(*masks, min_pixels)[Phase.PORE]


def draw(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((30, 40), np.bool_)
    for top, left, height, width in boxes:
        mask[top : top + height, left : left + width] = True
    return mask


def test_worked_example() -> None:
    """One grain found 8/10 of, one cut in two, two run together, one missed, one invented."""
    truth = draw((0, 0, 2, 5), (5, 0, 2, 9), (10, 0, 2, 4), (10, 5, 2, 4), (20, 0, 3, 3))
    prediction = draw((0, 0, 2, 4), (5, 0, 2, 4), (5, 5, 2, 4), (10, 0, 2, 9), (25, 30, 2, 2))
    match = match_pores(truth, prediction)
    assert (match.matched, match.missed, match.invented) == (1, 4, 4)
    assert (match.splits, match.merges) == (1, 1)
    assert match.iou_sum == pytest.approx(0.8)
    assert match.segmentation_quality == pytest.approx(0.8)
    assert match.recognition_quality == pytest.approx(1 / (1 + 4 / 2 + 4 / 2))
    assert match.panoptic_quality == pytest.approx(0.8 / 5)
    assert sorted(match.true_areas) == [8, 8, 9, 10, 18]


def test_specks_are_not_judged() -> None:
    truth = draw((0, 0, 3, 3), (10, 10, 4, 4))
    prediction = draw((0, 0, 3, 4), (10, 10, 4, 4), (20, 20, 1, 2))
    match = match_pores(truth, prediction, min_pixels=10)
    # The 9-pixel grain is a speck, so its 12-pixel match is neither right nor invented.
    assert (match.matched, match.missed, match.invented) == (1, 0, 0)
    assert match.panoptic_quality == 1.0


def test_nothing_there() -> None:
    match = match_pores(draw(), draw())
    assert np.isnan([match.panoptic_quality, match.segmentation_quality]).all()
    assert match_pores(draw((0, 0, 2, 2)), draw()).panoptic_quality == 0.0


def test_pooling_adds_counts() -> None:
    one = match_pores(draw((0, 0, 2, 5)), draw((0, 0, 2, 4)))
    two = match_pores(draw((0, 0, 2, 5)), draw())
    pooled = one + two
    assert (pooled.matched, pooled.missed, pooled.invented) == (1, 1, 0)
    assert pooled.panoptic_quality == pytest.approx(0.8 / 1.5)
    assert pooled.true_areas.tolist() == [10, 10]
    assert (Matches() + one).matched == 1


@given(
    arrays(np.bool_, (9, 11)),
    arrays(np.bool_, (9, 11)),
)
def test_equals_brute_force(truth: np.ndarray, prediction: np.ndarray) -> None:
    t, n = ndimage.label(truth, EIGHT)
    p, m = ndimage.label(prediction, EIGHT)
    ious = {}
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            shared = ((t == i) & (p == j)).sum()
            ious[i, j] = shared / ((t == i) | (p == j)).sum()
    hits = [iou for iou in ious.values() if iou > 0.5]
    match = match_pores(truth, prediction)
    assert (match.matched, match.missed, match.invented) == (
        len(hits),
        n - len(hits),
        m - len(hits),
    )
    assert match.iou_sum == pytest.approx(sum(hits))


@given(arrays(np.int32, (6, 7), elements=st.integers(0, 3)), st.integers(0, 2**32 - 1))
def test_overlaps_equal_counting(first: np.ndarray, seed: int) -> None:
    second = np.random.default_rng(seed).integers(0, 4, first.shape, np.int32)
    a, b, shared = count_overlaps(first, second)
    expected = {
        (i, j): count
        for i in range(1, 4)
        for j in range(1, 4)
        if (count := int(((first == i) & (second == j)).sum()))
    }
    assert dict(zip(zip(a.tolist(), b.tolist(), strict=True), shared.tolist(), strict=True)) == (
        expected
    )


def test_silt_and_pores_are_matched_apart() -> None:
    truth = np.zeros((4, 8), np.uint8)
    truth[:, 0:2], truth[:, 5:7] = Phase.SILT, Phase.PORE
    prediction = truth[:, ::-1].copy()  # silt at 6:8, pore at 1:3
    prediction[:, 7] = Phase.CLAY
    masks = [PhaseMask.from_array("m", mask) for mask in (truth, prediction)]
    for match in match_instances(*masks).values():
        assert (match.matched, match.missed, match.invented) == (0, 1, 1)
    for match in match_instances(masks[0], masks[0]).values():
        assert match.panoptic_quality == 1
