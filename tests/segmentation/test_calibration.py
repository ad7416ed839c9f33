import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.network


def draw(scale: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw labels from softmax(logits), then report logits `scale` times as large."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (40_000, 3))
    gumbel = rng.gumbel(size=logits.shape)
    return logits * scale, (logits + gumbel).argmax(axis=1)


@settings(max_examples=8, deadline=None)
@given(scale=st.floats(0.4, 3.5), seed=st.integers(0, 9))
def test_the_temperature_undoes_confidence(scale: float, seed: int) -> None:
    from mudrock_cli.deeplab.calibration import calibrate

    found = calibrate(*draw(scale, seed))
    assert found.temperature == pytest.approx(scale, rel=0.05)
    assert found.error_after < 0.015
    assert found.pixels == 40_000


def test_the_error_is_what_it_was_and_what_it_became() -> None:
    from mudrock_cli.deeplab.calibration import calibrate

    found = calibrate(*draw(3.0))
    assert found.error_before > 0.1
    assert found.error_after < found.error_before / 10


def test_the_error_by_hand() -> None:
    from mudrock_cli.deeplab.calibration import expected_calibration_error

    shares = np.array([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.6, 0.3, 0.1], [0.1, 0.6, 0.3]])
    logits = np.log(shares + 1e-12)
    labels = np.array([0, 1, 0, 1])
    # 0.9 is right once of two: |0.9 - 0.5| · 2/4; 0.6 is always right: |0.6 - 1| · 2/4
    assert expected_calibration_error(logits, labels, 10) == pytest.approx(0.4)


def test_the_likelihood_by_hand() -> None:
    from mudrock_cli.deeplab.calibration import negative_log_likelihood

    logits = np.array([[2.0, 0.0, -1.0], [1e4, 0.0, 0.0]])
    expected = (-2 + np.log(np.exp(2) + 1 + np.exp(-1)) + 1e4) / 2
    assert negative_log_likelihood(logits, np.array([0, 1])) == pytest.approx(expected)
