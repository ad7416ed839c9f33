"""Scores of an image, pooled over images, and averaged."""

import numpy as np
import pytest

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Phase
from mudrock_cli.measure import scores
from mudrock_cli.measure.scores import Scores, average_values, describe_scores


def make_mask(*boxes: tuple[int, int, int, int, int], side: int = 20) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    for phase, top, left, height, width in boxes:
        mask[top : top + height, left : left + width] = phase
    return mask


def score(truth: np.ndarray, prediction: np.ndarray, **options: float) -> Scores:
    masks = [PhaseMask.from_array("mask", array) for array in (truth, prediction)]
    return scores.score_mask(*masks, **{"tolerance": 1, "min_pixels": 1} | options)


TRUTH = make_mask((1, 0, 0, 8, 10), (2, 12, 12, 4, 5))
WRONG = make_mask((1, 0, 0, 8, 9), (2, 12, 12, 4, 4), (2, 0, 15, 4, 5))


def test_a_perfect_mask() -> None:
    values = describe_scores(score(TRUTH, TRUTH, tolerance=0))
    ones = [k for k in values if k.startswith(("iou", "boundary", "panoptic", "pixel_acc"))]
    assert len(ones) == 10
    assert all(values[key] == 1 for key in ones)
    assert values["fraction_pore_error_points"] == 0
    assert values["ecd_distance_pore_px"] == 0
    assert values["ecd_distance_pore_um"] is None


def test_worked_example() -> None:
    values = describe_scores(score(TRUTH, WRONG, tolerance=1, um_per_pixel=0.5))
    assert values["iou_silt"] == pytest.approx(72 / 80)
    assert values["iou_pore"] == pytest.approx(16 / 40)
    assert values["silt_as_clay_pixels"] == 8
    assert values["fraction_pore_truth_percent"] == pytest.approx(5)
    assert values["fraction_pore_predicted_percent"] == pytest.approx(9)
    assert values["fraction_pore_error_points"] == pytest.approx(4)
    assert (values["matched_pore"], values["invented_pore"]) == (1, 1)
    true, predicted = np.sqrt(4 * 20 / np.pi) / 2, np.sqrt(4 * np.array([16, 20]) / np.pi) / 2
    assert values["ecd_distance_pore_um"] == pytest.approx(np.abs(predicted - true).mean())
    assert values["ecd_distance_pore_px"] is None
    by_area = np.abs(predicted - true) @ np.array([16, 20]) / 36
    assert values["ecd_distance_by_area_pore_um"] == pytest.approx(by_area)


def test_only_labelled_pixels_count() -> None:
    truth, prediction = TRUTH.copy(), TRUTH.copy()
    truth[15:], prediction[15:] = Phase.VOID, Phase.SILT
    assert describe_scores(score(truth, prediction, tolerance=0))["iou_mean"] == 1


def test_pooled_counts_pixels_and_mean_counts_images() -> None:
    clay = np.zeros((10, 10), np.uint8)
    one = score(TRUTH, WRONG, tolerance=1)
    two = score(clay, clay, tolerance=1)
    rows = [describe_scores(one), describe_scores(two)]
    mean = average_values(rows)
    pooled = describe_scores(one + two)
    # No pore in the second image, nor predicted there: it is left out of the mean, and counted.
    assert mean["iou_pore"] == pytest.approx(0.4)
    assert mean["absent_pore"] == 1
    assert mean["iou_clay"] == pytest.approx((rows[0]["iou_clay"] + 1) / 2)
    assert mean["pixels"] == pooled["pixels"] == 500
    assert pooled["iou_pore"] == pytest.approx(0.4)
    assert pooled["pixel_accuracy"] == pytest.approx((400 - 8 - 4 - 20 + 100) / 500)
    assert pooled["absent_pore"] == 0


def test_errors_of_fractions_do_not_cancel_in_the_mean() -> None:
    more = describe_scores(score(TRUTH, WRONG, tolerance=1))
    less = describe_scores(score(WRONG, TRUTH, tolerance=1))
    assert average_values([more, less])["fraction_pore_error_points"] == pytest.approx(4)


def test_pooling_two_units_drops_the_diameters() -> None:
    known = score(TRUTH, WRONG, tolerance=1, um_per_pixel=0.5)
    pooled = describe_scores(known + score(TRUTH, WRONG, tolerance=1))
    assert pooled["ecd_distance_pore_um"] is None
    assert pooled["ecd_distance_pore_px"] is None


def test_bands_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    truth = rng.choice(np.array([0, 0, 0, 1, 2, 255], np.uint8), (61, 40))
    prediction = rng.choice(np.array([0, 0, 0, 1, 2], np.uint8), truth.shape)
    whole = describe_scores(score(truth, prediction, tolerance=2.5))
    monkeypatch.setattr(scores, "_BAND_PIXELS", 7 * 40)
    assert describe_scores(score(truth, prediction, tolerance=2.5)) == whole


def test_no_instance_has_no_diameters() -> None:
    clay = np.zeros((10, 10), np.uint8)
    assert np.isnan(describe_scores(score(clay, TRUTH[:10, :10]))["ecd_distance_silt_px"])


def test_refuses_another_size_and_an_empty_label() -> None:
    with pytest.raises(MudrockError, match="mask: 20 × 19 pixels, its label has 20 × 20"):
        score(TRUTH, TRUTH[1:])
    with pytest.raises(MudrockError, match="no pixel is labelled"):
        score(np.full_like(TRUTH, Phase.VOID), TRUTH)
