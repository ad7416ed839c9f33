"""Pixel scores against a worked example and against scikit-learn."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score

from mudrock_cli.errors import MudrockError
from mudrock_cli.measure.scores import (
    compute_accuracy,
    compute_fractions,
    compute_iou,
    count_confusion,
)

KUMANO = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "kumano"


def as_mask(rows: list[list[int]]) -> np.ndarray:
    return np.array(rows, np.uint8)


def test_worked_example() -> None:
    truth = as_mask([[0, 0, 1, 1], [0, 2, 2, 255]])
    prediction = as_mask([[0, 1, 1, 1], [0, 2, 255, 2]])
    confusion = count_confusion(truth, prediction)
    assert confusion.tolist() == [[2, 1, 0, 0], [0, 2, 0, 0], [0, 0, 1, 1]]
    assert compute_accuracy(confusion) == 5 / 7
    np.testing.assert_allclose(compute_iou(confusion), [2 / 3, 2 / 3, 1 / 2])
    np.testing.assert_allclose(
        compute_fractions(confusion), [[3 / 7, 2 / 7, 2 / 7], [2 / 6, 3 / 6, 1 / 6]]
    )


def test_equals_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    truth = rng.choice(np.array([0, 1, 2, 255], np.uint8), (301, 203))
    prediction = rng.choice(np.array([0, 1, 2], np.uint8), truth.shape)
    judged = truth != 255
    t, p = truth[judged], prediction[judged]
    confusion = count_confusion(truth, prediction)
    assert np.array_equal(confusion[:, :3], confusion_matrix(t, p, labels=[0, 1, 2]))
    assert not confusion[:, 3].any()
    np.testing.assert_allclose(compute_iou(confusion), jaccard_score(t, p, average=None))
    assert compute_accuracy(confusion) == pytest.approx(accuracy_score(t, p))


def test_a_phase_that_neither_holds_has_no_iou() -> None:
    truth = as_mask([[0, 1], [255, 255]])
    confusion = count_confusion(truth, as_mask([[0, 0], [2, 2]]))
    np.testing.assert_array_equal(compute_iou(confusion), [0.5, 0.0, np.nan])


def test_nothing_judged() -> None:
    confusion = count_confusion(as_mask([[255, 255]]), as_mask([[0, 1]]))
    assert not confusion.any()
    assert np.isnan(compute_accuracy(confusion))
    assert np.isnan(compute_iou(confusion)).all()
    assert np.isnan(compute_fractions(confusion)).all()


def test_refuses_other_sizes_and_values() -> None:
    with pytest.raises(MudrockError, match="truth is 2 × 1 pixels, the prediction 1 × 2"):
        count_confusion(as_mask([[0, 1]]), as_mask([[0], [1]]))
    with pytest.raises(MudrockError, match="no phase"):
        count_confusion(as_mask([[0, 255]]), as_mask([[0, 3]]))
    with pytest.raises(MudrockError, match="no phase"):
        count_confusion(as_mask([[0, 7]]), as_mask([[0, 255]]))


PUBLISHED = {
    11: (0.899, 0.741, 0.718),
    15: (0.882, 0.799, 0.684),
    17: (0.865, 0.717, 0.420),
    10: (0.880, 0.644, 0.554),
    12: (0.836, 0.729, 0.568),
    16: (0.806, 0.807, 0.549),
}


@pytest.mark.parametrize("parent", PUBLISHED)
def test_authors_predictions(parent: int) -> None:
    """Near the noted figures (clay, silt, pore); equal to scikit-learn on the same pixels."""
    if not KUMANO.is_dir():
        pytest.skip("../shared/data, a folder beside the checkout, is absent")
    truth = np.asarray(Image.open(KUMANO / "labels" / f"kumano_{parent}.png"))
    prediction = np.asarray(Image.open(KUMANO / "authors" / f"kumano_{parent}.png"))
    iou = compute_iou(count_confusion(truth, prediction))
    np.testing.assert_allclose(iou, PUBLISHED[parent], atol=0.005)
    judged = truth != 255
    expected = jaccard_score(truth[judged], prediction[judged], average=None, labels=[0, 1, 2])
    np.testing.assert_allclose(iou, expected, rtol=1e-12)
