"""`segment` with exact outlines: what the network finds, its outlines moved."""

import io
from dataclasses import replace

import numpy as np
import pytest
from phantom import make_phantom

from mudrock_cli.classical.outlines import exact_outlines
from mudrock_cli.deeplab.model import TrainedModel
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.types import Box, Phase, PixelSize
from mudrock_cli.segmentation import segment_mask

BOX = Box(8, 5, 360, 390)


@pytest.fixture(scope="module")
def micrograph() -> Micrograph:
    made = make_phantom(4, (400, 400))
    return Micrograph.from_array("made", made.grey, made.pixel_size, BOX)


def test_exact_outlines_are_those_of_the_mask_moved(
    tiny_model: TrainedModel, micrograph: Micrograph
) -> None:
    sure, moved_sure = io.BytesIO(), io.BytesIO()
    labels = segment_mask(micrograph, tiny_model, confidence=sure)
    steps: list[tuple[int, int]] = []
    exact = segment_mask(
        micrograph,
        tiny_model,
        outlines="exact",
        confidence=moved_sure,
        advance=lambda *step: steps.append(step),
    )
    assert steps == sorted(steps)
    assert steps[-1] == (1000, 1000)
    assert labels.provenance["outlines"] == "labels"
    assert exact.provenance["outlines"] == "exact"
    expected = labels.phases().copy()
    inner = expected[BOX.rows, BOX.columns]
    expected[BOX.rows, BOX.columns] = np.concatenate(list(exact_outlines([inner], micrograph)))
    np.testing.assert_array_equal(exact.phases(), expected)
    results, before = exact.provenance["results"], labels.provenance["results"]
    for name in ("pore", "silt", "clay"):
        inner = expected[BOX.rows, BOX.columns] == Phase[name.upper()]
        assert results[f"{name}_fraction"] == np.mean(inner)
        assert results["as_labels"][f"{name}_fraction"] == before[f"{name}_fraction"]
    assert "as_labels" not in before
    assert results["mean_entropy"] == pytest.approx(before["mean_entropy"])
    assert sure.getvalue() == moved_sure.getvalue()


def test_without_a_pixel_size_it_is_taken_to_be_the_models(
    tiny_model: TrainedModel, micrograph: Micrograph
) -> None:
    bare = replace(micrograph, pixel_size=None)
    sized = replace(micrograph, pixel_size=PixelSize(tiny_model.nm_per_pixel, "test"))
    found, expected = (segment_mask(m, tiny_model, outlines="exact") for m in (bare, sized))
    np.testing.assert_array_equal(found.phases(), expected.phases())
    assert found.pixel_size is None
