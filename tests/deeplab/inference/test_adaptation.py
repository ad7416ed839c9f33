"""By what a network normalises a micrograph: training's statistics, its own, and their mixture."""

from copy import copy
from typing import Self

import numpy as np
import numpy.typing as npt
import pytest

from mudrock_cli.deeplab.inference import (
    adapt_engine,
    learn_statistics,
    segment_bands,
    spread_bands,
)
from mudrock_cli.deeplab.recipe import DataRecipe, InferenceRecipe, Recipe
from mudrock_cli.deeplab.weights import Statistics
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.types import Box, PixelSize

TILE = 32
BRIGHT = 100.0


class GreyEngine:
    """Normalises by the mean grey; what is brighter than that is silt, the rest clay."""

    name = "grey"
    tile = TILE
    batch = 4

    def __init__(self) -> None:
        self.statistics: Statistics = {"n/moving_mean": np.full(1, BRIGHT, np.float32)}
        self.seen: list[npt.NDArray[np.float32]] = []

    def predict(self, tiles: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        silt = (tiles > self.statistics["n/moving_mean"]).astype(np.float32)
        return np.stack([1 - silt, silt, 0 * silt], axis=-1)

    def look(self, batches: npt.NDArray[np.float32]) -> Statistics:
        self.seen.append(batches)
        return {"n/moving_mean": batches.mean(keepdims=True).reshape(1)}

    def adapt(self, statistics: Statistics) -> Self:
        adapted = copy(self)
        adapted.statistics = statistics
        return adapted


def recipe(adaptation: float = 0.6) -> Recipe:
    inference = InferenceRecipe(tile=TILE, overlap=8, adaptation=adaptation)
    return Recipe(data=DataRecipe(nm_per_pixel=10.0), inference=inference)


def uniform(shape: tuple[int, int], grey: int, nm: float = 10.0) -> Micrograph:
    return Micrograph.from_array("x", np.full(shape, grey, np.uint8), PixelSize(nm, "test"))


@pytest.mark.parametrize(
    ("shape", "share"),
    [
        ((4 * TILE, 4 * TILE), 0.6),
        ((40 * TILE, 4 * TILE), 0.6),
        ((2 * TILE, 4 * TILE), 0.3),
        ((TILE, 3 * TILE), 0.0),
        ((TILE - 1, 20 * TILE), 0.0),
    ],
)
def test_a_field_counts_by_the_tiles_that_it_holds(shape: tuple[int, int], share: float) -> None:
    engine = GreyEngine()
    found = learn_statistics(engine, uniform(shape, 150), recipe())
    if not share:
        assert found == {}
        assert not engine.seen
        return
    assert found["n/moving_mean"] == pytest.approx((1 - share) * BRIGHT + share * 150)
    assert found["n/moving_mean"].dtype == np.float32


def test_nothing_is_looked_at_where_the_recipe_wants_none() -> None:
    engine = GreyEngine()
    assert adapt_engine(engine, uniform((300, 300), 150), recipe(0.0)) is engine
    assert not engine.seen


def test_tiles_come_from_all_over_the_specimen_at_the_models_pixel_size() -> None:
    rows = np.repeat(np.linspace(0, 250, 200).astype(np.uint8)[:, None], 260, axis=1)
    box = Box(0, 30, 200, 230)
    rows[:, :30] = rows[:, 230:] = 7  # no specimen
    engine = GreyEngine()
    micrograph = Micrograph.from_array("x", rows, PixelSize(20.0, "test"), box)
    learn_statistics(engine, micrograph, recipe())
    (batches,) = engine.seen
    assert batches.shape == (2, 4, TILE, TILE, 1)
    levels = np.sort(batches.mean(axis=(2, 3, 4)).ravel())
    assert levels[0] == pytest.approx(levels[1])  # two tiles in each of four rows
    assert np.diff(levels[::2]) == pytest.approx(np.full(3, 250 * (400 - TILE) / 3 / 400), rel=0.05)
    assert batches.min() < 10  # the first row
    assert batches.max() > 240  # the last
    assert not (batches == 7).all(axis=(2, 3, 4)).any()
    deviation = batches.std(axis=(2, 4)).max()
    assert deviation < 25  # a tile of 32 pixels shows 16 of the file's


def test_segmenting_adapts_the_engine_and_leaves_it_as_it_was() -> None:
    grey = np.full((160, 160), 120, np.uint8)
    grey[:, 80:] = 160
    micrograph = Micrograph.from_array("x", grey, PixelSize(10.0, "test"))
    engine = GreyEngine()

    def phases(adaptation: float) -> npt.NDArray[np.uint8]:
        bands = segment_bands(micrograph, engine, recipe(adaptation))
        return np.concatenate([band.phases for band in bands])

    assert (phases(0.0) == 1).all()  # all of it brighter than what training had
    np.testing.assert_array_equal(phases(1.0), grey > 140)
    assert (phases(0.0) == 1).all()
    spread = spread_bands(
        micrograph, lambda: engine, recipe(1.0), mapper=map, tasks=2, confidence=False
    )
    np.testing.assert_array_equal(np.concatenate([band.phases for band in spread]), grey > 140)
