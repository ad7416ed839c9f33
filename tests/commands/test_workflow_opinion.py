from dataclasses import replace

import numpy as np
import pytest
from phantom import make_phantom

from mudrock_cli.commands.prediction import ask_workflow
from mudrock_cli.deeplab.model import TrainedModel
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.types import Phase, PixelSize


def give_say(model: TrainedModel, weights: tuple[float, float, float, float]) -> TrainedModel:
    inference = replace(model.recipe.inference, workflow=weights)
    return replace(model, recipe=replace(model.recipe, inference=inference))


@pytest.fixture(scope="module")
def micrograph() -> Micrograph:
    phantom = make_phantom(2, (600, 700))
    return Micrograph.from_array("phantom", phantom.grey, phantom.pixel_size)


def weigh(model: TrainedModel, micrograph: Micrograph) -> np.ndarray:
    opinion = ask_workflow(model.recipe, micrograph)
    assert opinion is not None
    return opinion.weigh(np.full((*micrograph.shape, 3), 1 / 3, np.float32))


def test_a_model_without_a_say_asks_nobody(
    tiny_model: TrainedModel, micrograph: Micrograph
) -> None:
    assert ask_workflow(tiny_model.recipe, micrograph) is None


def test_the_workflow_decides_where_the_network_does_not_know(
    tiny_model: TrainedModel, micrograph: Micrograph
) -> None:
    shares = weigh(give_say(tiny_model, (2.0, 3.0, 1.0, 1.5)), micrograph)
    pores = shares[..., Phase.PORE] == shares.max(axis=2)
    assert 0.02 < pores.mean() < 0.3
    grey = micrograph.grey()
    assert grey[pores].mean() < grey[~pores].mean() - 30


def test_a_small_field_says_nothing_about_silt(
    tiny_model: TrainedModel, micrograph: Micrograph
) -> None:
    small = Micrograph.from_array("small", micrograph.grey()[:300, :300], micrograph.pixel_size)
    shares = weigh(give_say(tiny_model, (2.0, 3.0, 1.0, 1.5)), small)
    np.testing.assert_array_equal(shares[..., Phase.SILT], shares[..., Phase.CLAY])
    pores = shares[..., Phase.PORE] > 1 / 3
    assert 0.02 < pores.mean() < 0.3
    assert shares[..., Phase.PORE][~pores].max() < 0.2  # what is no pore is said, too


def test_a_coarse_or_blank_image_is_left_to_the_network(
    tiny_model: TrainedModel, micrograph: Micrograph
) -> None:
    model = give_say(tiny_model, (2.0, 3.0, 1.0, 1.5))
    coarse = replace(micrograph, pixel_size=PixelSize(135.0, "test"))
    assert ask_workflow(model.recipe, coarse) is None
    blank = Micrograph.from_array("blank", np.full((600, 700), 90, np.uint8), PixelSize(10, "test"))
    assert ask_workflow(model.recipe, blank) is None
