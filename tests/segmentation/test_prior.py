from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phantom import make_phantom

from mudrock_cli.deeplab.model import TrainedModel
from mudrock_cli.deeplab.recipe import Recipe
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.types import Phase, PixelSize
from mudrock_cli.segmentation import (
    Prior,
    combine,
    find_prior,
    segment_mask,
    soften,
    weigh_evidence,
)

CLAY, SILT, PORE = (int(phase) for phase in (Phase.CLAY, Phase.SILT, Phase.PORE))


def weigh(shares: np.ndarray, found: np.ndarray, *weights: float, silt: bool = True) -> np.ndarray:
    prior = Prior(iter(()), weigh_evidence(weights, tells_silt=silt))
    return combine(shares.astype(np.float32), found.astype(np.uint8), prior)


def test_evidence_adds_to_the_logarithms_of_odds() -> None:
    rng = np.random.default_rng(3)
    found, shares = rng.integers(0, 3, (11, 4)), rng.dirichlet((1, 1, 1), (11, 4))
    shift = np.array([[3, 1, 0], [0.5, 3, 0], [0, 0, 2]])  # of what is there (column)
    logits = np.log(shares) + shift[found]
    expected = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    assert weigh(shares, found, 2.0, 2.5, 3.0, 2.0) == pytest.approx(expected, rel=1e-5)


def test_without_silt_a_pore_is_told_from_no_pore() -> None:
    shares = np.random.default_rng(3).dirichlet((1, 1, 1), (1, 3))
    logits = np.log(shares) + np.array([[1, 1, 0], [1, 1, 0], [0, 0, 2]])
    expected = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    found = np.array([[CLAY, SILT, PORE]])
    assert weigh(shares, found, 1.0, 1.0, 1.0, 2.0, silt=False) == pytest.approx(expected, rel=1e-5)


def test_softened_probabilities_are_those_of_logits_divided_by_a_temperature() -> None:
    shares = np.random.default_rng(3).dirichlet((0.3, 0.3, 0.3), (11, 4)).clip(1e-9, 1)
    powers = shares ** (1 / 1.6)
    expected = powers / powers.sum(axis=2, keepdims=True)
    found = soften(shares.astype(np.float32), 1.6)
    assert found == pytest.approx(expected, rel=1e-4)
    overstepped = soften(np.array([[[1.01, 0.0, -0.01]]], np.float32), 2.0)  # by interpolation
    assert overstepped == pytest.approx(np.array([[[1.0, 0.0, 0.0]]]), abs=1e-6)


weight = st.floats(0, 20)


@given(clay=weight, silt=weight, solid=weight, pore=weight, seed=st.integers(0, 99))
def test_evidence_for_a_solid_never_raises_pore(
    clay: float, silt: float, solid: float, pore: float, seed: int
) -> None:
    shares = np.random.default_rng(seed).dirichlet((0.5, 0.5, 0.5), (1, 40)).clip(1e-6, 1)
    shares /= shares.sum(axis=2, keepdims=True)
    for found in (CLAY, SILT):
        after = weigh(shares, np.full((1, 40), found), clay, silt, solid, pore)
        assert (after[..., PORE] <= shares[..., PORE] + 1e-6).all()
    after = weigh(shares, np.full((1, 40), PORE), clay, silt, solid, pore)
    assert (after[..., PORE] >= shares[..., PORE] - 1e-6).all()


def test_a_doubtful_network_is_overruled_and_a_certain_one_is_not() -> None:
    shares = np.array([[[0.5, 0.4, 0.1], [0.99, 0.005, 0.005]]])
    after = weigh(shares, np.full((1, 2), SILT), 1.0, 1.0, 1.0, 1.0)
    assert after.argmax(axis=2).tolist() == [[SILT, CLAY]]


def test_a_smooth_grain_in_dispute_gets_no_green_rim() -> None:
    """The network sees silt and a little pore at its rim, the workflow clay."""
    rim = np.array([[[0.05, 0.7, 0.25]]])
    after = weigh(rim, np.array([[CLAY]]), 10.0, 10.0, 3.0, 4.0)
    assert after.argmax() != PORE
    assert after[0, 0, PORE] < 0.25


def give_prior(model: TrainedModel, *weights: float) -> Recipe:
    inference = replace(model.recipe.inference, workflow=weights)
    return replace(model.recipe, inference=inference)


@pytest.fixture(scope="module")
def micrograph() -> Micrograph:
    phantom = make_phantom(2, (600, 700))
    return Micrograph.from_array("phantom", phantom.grey, phantom.pixel_size)


def find(recipe: Recipe, micrograph: Micrograph) -> np.ndarray:
    """Weigh a network that knows nothing."""
    prior = find_prior(micrograph, recipe)
    assert prior is not None
    found = np.concatenate(list(prior.bands))
    return combine(np.full((*micrograph.shape, 3), 1 / 3, np.float32), found, prior)


def test_a_model_without_weights_has_none(tiny_model: TrainedModel, micrograph: Micrograph) -> None:
    assert find_prior(micrograph, tiny_model.recipe) is None


def test_it_decides_where_the_network_does_not_know(
    tiny_model: TrainedModel, micrograph: Micrograph
) -> None:
    shares = find(give_prior(tiny_model, 2.0, 3.0, 1.0, 1.5), micrograph)
    pores = shares[..., Phase.PORE] == shares.max(axis=2)
    assert 0.02 < pores.mean() < 0.3
    grey = micrograph.grey()
    assert grey[pores].mean() < grey[~pores].mean() - 30


def test_a_small_field_says_nothing_about_silt(
    tiny_model: TrainedModel, micrograph: Micrograph
) -> None:
    small = Micrograph.from_array("small", micrograph.grey()[:300, :300], micrograph.pixel_size)
    shares = find(give_prior(tiny_model, 2.0, 3.0, 1.0, 1.5), small)
    np.testing.assert_array_equal(shares[..., Phase.SILT], shares[..., Phase.CLAY])
    pores = shares[..., Phase.PORE] > 1 / 3
    assert 0.02 < pores.mean() < 0.3
    assert shares[..., Phase.PORE][~pores].max() < 0.2  # what is no pore is said, too


def test_it_is_the_mask_of_groundtruth(tiny_model: TrainedModel, micrograph: Micrograph) -> None:
    from mudrock_cli.classical.recipe import load_recipe
    from mudrock_cli.classical.workflow import label_phases

    prior = find_prior(micrograph, give_prior(tiny_model, 3.0, 3.0, 3.0, 4.0))
    assert prior is not None
    expected = label_phases(micrograph, load_recipe("groundtruth"))
    np.testing.assert_array_equal(np.concatenate(list(prior.bands)), expected)


def test_a_coarse_image_is_left_to_the_network_and_a_blank_one_refused(
    tiny_model: TrainedModel, micrograph: Micrograph
) -> None:
    recipe = give_prior(tiny_model, 2.0, 3.0, 1.0, 1.5)
    coarse = replace(micrograph, pixel_size=PixelSize(135.0, "test"))
    assert find_prior(coarse, recipe) is None
    blank = Micrograph.from_array("blank", np.full((600, 700), 90, np.uint8), PixelSize(10, "test"))
    with pytest.raises(MudrockError, match="every pixel has the same grey"):
        find_prior(blank, recipe)
    nearly = blank.grey() + (np.arange(700) % 3 == 0).astype(np.uint8)
    with pytest.raises(MudrockError, match="every pixel has the same grey, or nearly"):
        segment_mask(Micrograph.from_array("n", nearly, PixelSize(10, "test")), tiny_model)
    # Taken once, its repeated rows and columns have pixels beyond the model's reach.
    levels = np.random.default_rng(0).integers(90, 92, (100, 120), np.uint8)
    repeated = np.kron(levels, np.ones((6, 6), np.uint8))
    with pytest.raises(MudrockError, match="every pixel has the same grey, or nearly"):
        segment_mask(Micrograph.from_array("r", repeated, PixelSize(10, "test")), tiny_model)
