"""Boundary F1 on shapes whose outlines can be counted by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt

from mudrock_cli.measure.scores import compute_boundary_f1, count_boundary, find_outline


def square(top: int, left: int, side: int = 6) -> np.ndarray:
    mask = np.zeros((20, 20), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def test_outline_of_a_square() -> None:
    member = square(4, 4) == 1
    outline = find_outline(member, np.ones_like(member))
    assert outline.sum() == 4 * 6 - 4
    assert not outline[5:9, 5:9].any()


def test_neither_border_nor_void_makes_an_outline() -> None:
    member = np.ones((5, 8), np.bool_)
    assert not find_outline(member, member).any()
    judged = member.copy()
    member[:, 4:], judged[:, 4:] = False, False
    assert not find_outline(member, judged).any()
    judged[:, 5:] = True
    assert not find_outline(member, judged).any()
    judged[2, 4] = True
    assert np.argwhere(find_outline(member, judged)).tolist() == [[2, 3]]


def test_shifted_square() -> None:
    """A 6 × 6 square moved 2 pixels down: the sides overlap, top and bottom lie 2 apart."""
    truth, prediction = square(4, 4), square(6, 4)
    near = count_boundary(truth, prediction, 1)
    predicted, predicted_close, true, true_close = near[:, 1]
    assert true == predicted == 20
    # True: both sides in rows 5 to 9 (10), and in row 9 the pixels next to the sides (2).
    assert true_close == predicted_close == 12
    assert compute_boundary_f1(near)[1] == pytest.approx(0.6)
    assert compute_boundary_f1(count_boundary(truth, prediction, 2))[1] == 1.0


def test_same_masks_and_absent_phases() -> None:
    counts = count_boundary(square(4, 4), square(4, 4), 0)
    np.testing.assert_array_equal(compute_boundary_f1(counts), [1, 1, np.nan])
    one_sided = count_boundary(np.zeros((20, 20), np.uint8), square(4, 4), 3)
    np.testing.assert_array_equal(compute_boundary_f1(one_sided), [0, 0, np.nan])
    pooled = compute_boundary_f1(counts + one_sided)
    assert 0 < pooled[1] < 1


@given(
    arrays(np.uint8, (13, 17), elements=st.sampled_from([0, 1, 2, 255])),
    arrays(np.uint8, (13, 17), elements=st.sampled_from([0, 1, 2])),
    st.sampled_from([0, 0.5, 1, 1.5, 2, 3, 4.25, 6, 15.5]),
)
def test_equals_scipy_distance(truth: np.ndarray, prediction: np.ndarray, limit: float) -> None:
    counts = count_boundary(truth, prediction, limit)
    judged = truth != 255
    for phase in (0, 1, 2):
        true = find_outline(truth == phase, judged)
        predicted = find_outline((prediction == phase) & judged, judged)
        expected = 0
        if true.any():
            expected = (distance_transform_edt(~true)[predicted] <= limit).sum()
        assert counts[1, phase] == expected
