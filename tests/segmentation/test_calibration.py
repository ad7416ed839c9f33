from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phantom import make_phantom

from mudrock_cli.deeplab.recipe import Recipe
from mudrock_cli.image.types import Phase

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


def test_what_is_found_twice_is_worth_half() -> None:
    """A prior that repeats what a calibrated network said anyway."""
    from mudrock_cli.cross_validation import HeldOutResults

    logits, labels = draw(2.0)
    found = HeldOutResults(logits=logits, labels=labels, evidence=logits)
    calibration = found.calibrate_confidence(2.0)  # the network's own temperature
    assert calibration
    assert calibration.temperature == pytest.approx(2.0, rel=0.05)
    assert calibration.error_after < 0.015 < calibration.error_before
    pooled = HeldOutResults.pool([found, found]).calibrate_confidence(2.0)
    assert pooled
    assert pooled.pixels == 80_000
    none = replace(found, evidence=np.zeros_like(logits))
    assert none.calibrate_confidence(2.0) is None


def test_evidence_is_that_of_the_pixels_of_the_logits() -> None:
    from mudrock_cli.cross_validation import gather_evidence
    from mudrock_cli.deeplab.dataset import Sample
    from mudrock_cli.deeplab.network import build_network
    from mudrock_cli.segmentation import find_prior

    network = {"architecture": "unet", "encoder": "plain", "unet_channels": 2, "unet_levels": 1}
    inference = {"tile": 256, "overlap": 16, "workflow": [1.0, 2.0, 3.0, 4.0]}
    recipe = Recipe.from_dict({"network": network, "inference": inference})
    phantom = make_phantom(2, (600, 700))
    empty = np.zeros((600, 700), np.uint8)
    sample = Sample("x", "x", phantom.grey, empty, pixel_size=phantom.pixel_size)
    prior = find_prior(sample.micrograph(12.0), recipe)
    assert prior is not None
    labels = np.concatenate(list(prior.bands))  # what is found is what is true
    labels[:, :9] = Phase.VOID
    logits, truth, evidence = gather_evidence(
        build_network(recipe.network, 256, 256), [replace(sample, labels=labels)], recipe
    )
    assert len(logits) == len(truth) == len(evidence) > 200_000
    assert np.bincount(truth).min() > 1000
    np.testing.assert_allclose(np.exp(evidence), prior.factors[truth], rtol=1e-5)
