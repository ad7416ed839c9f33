from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mudrock_cli.deeplab.augmentation import (
    add_copies,
    change_grey,
    cut_tiles,
    draw_crop,
    make_tiles,
)
from mudrock_cli.deeplab.dataset import Sample
from mudrock_cli.deeplab.recipe import AugmentRecipe, DataRecipe, Recipe
from mudrock_cli.image.types import Phase

OFF = AugmentRecipe(scale=(1.0, 1.0), flip_horizontal=False)
EVERYTHING = AugmentRecipe(
    scale=(0.7, 1.4),
    flip_vertical=True,
    quarter_turns=True,
    brightness=20.0,
    contrast=0.3,
    gamma=0.3,
    seams=0.5,
    shading=10.0,
    noise=10.0,
    blur=1.0,
    curtaining=3.0,
    charging=3.0,
)


def plain_sample(shape: tuple[int, int], name: str = "a") -> Sample:
    grey = np.arange(shape[0] * shape[1], dtype=np.int64).reshape(shape) % 251
    return Sample(name, name, grey.astype(np.uint8), (grey % 3).astype(np.uint8))


@settings(max_examples=50, deadline=None)
@given(
    height=st.integers(20, 120),
    width=st.integers(20, 120),
    seed=st.integers(0, 1000),
    share=st.sampled_from([0, 0.02]),
)
def test_labels_are_only_ever_taken_by_nearest_neighbour(
    height: int, width: int, seed: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice(
        np.array([0, 2, 255], np.uint8), (height, width), p=[0.6, 0.4 - share, share]
    )
    grey = np.where(labels == 2, 10, 200).astype(np.uint8)
    recipe = replace(EVERYTHING, **dict.fromkeys(("brightness", "contrast", "gamma"), 0.0))
    crop, truth = draw_crop(grey, labels, (48, 64), recipe, rng)
    assert crop.shape == truth.shape == (48, 64)
    assert crop.dtype == np.float32
    assert crop.min() >= 0
    assert crop.max() <= 255
    assert set(np.unique(truth)) <= {0, 2, 255}


def test_without_augmentation_a_crop_is_a_window() -> None:
    rows, columns = np.mgrid[:90, :100]
    grey = (rows + columns).astype(np.uint8)  # a slope: also between pixels its value is known
    labels = ((rows // 7 + columns // 5) % 3).astype(np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(10):
        crop, truth = draw_crop(grey, labels, (32, 48), OFF, rng)
        assert np.abs(np.diff(crop, axis=0) - 1).max() < 0.51
        assert np.abs(np.diff(crop, axis=1) - 1).max() < 0.51
        windows = np.lib.stride_tricks.sliding_window_view(labels, (32, 48))
        places = np.argwhere((windows == truth).all(axis=(2, 3)))
        assert any(abs(crop[0, 0] - grey[r, c]) <= 1 for r, c in places)


def test_grey_and_labels_move_together(make_sample: Callable[..., Sample]) -> None:
    sample = make_sample()
    grey = np.array([120, 190, 40], np.uint8)[sample.labels]
    recipe = AugmentRecipe(scale=(0.8, 1.2), flip_vertical=True, quarter_turns=True)
    for seed in range(20):
        crop, truth = draw_crop(grey, sample.labels, (64, 64), recipe, np.random.default_rng(seed))
        nearest = np.abs(crop[..., None] - np.array([120, 190, 40])).argmin(axis=2)
        known = truth != Phase.VOID
        assert (nearest == truth)[known].mean() > 0.93  # edges are interpolated


@pytest.mark.parametrize(
    "switch",
    [
        "brightness",
        "contrast",
        "gamma",
        "seams",
        "shading",
        "noise",
        "blur",
        "curtaining",
        "charging",
    ],
)
def test_each_change_of_grey_has_a_switch(switch: str) -> None:
    rng = np.random.default_rng(1)
    grey = rng.uniform(60, 190, (40, 50)).astype(np.float32)
    assert np.array_equal(change_grey(grey, OFF, np.random.default_rng(2)), grey)
    strength = 1.0 if switch == "seams" else getattr(EVERYTHING, switch)
    recipe = replace(OFF, **{switch: strength}, **({"contrast": 0.2} if switch == "seams" else {}))
    assert not np.array_equal(change_grey(grey, recipe, np.random.default_rng(2)), grey)


def test_tiles_cover_everything_and_are_equal() -> None:
    sample = plain_sample((100, 130), "11")
    recipe = DataRecipe(tile=(40, 50))
    tiles = cut_tiles([sample], recipe)
    assert [tile.name for tile in tiles] == [f"11_{n}_a" for n in range(1, 10)]
    assert {tile.grey.shape for tile in tiles} == {(40, 50)}
    assert {tile.source for tile in tiles} == {"11"}
    assert np.array_equal(tiles[0].grey, sample.grey[:40, :50])
    assert np.array_equal(tiles[-1].labels, sample.labels[60:, 80:])
    small = cut_tiles([plain_sample((30, 30))], recipe)
    assert [tile.grey.shape for tile in small] == [(30, 30)]
    assert cut_tiles([sample], DataRecipe(tile=(0, 0))) == [sample]


def test_the_paper_mirrors_both_ways_and_recolours_a_random_part() -> None:
    recipe = DataRecipe(tile=(40, 50), mirrored=True, images=100)
    sample = plain_sample((80, 100))
    made = make_tiles([sample], recipe, 0.5, 1)
    assert len(made) == 50
    named = {tile.name: tile for tile in made}
    assert len(named) == 50
    assert np.array_equal(named["a_2_b"].grey, named["a_2_a"].grey[:, ::-1])
    assert np.array_equal(named["a_2_c"].labels, named["a_2_a"].labels[::-1])
    for tile in made[12:]:
        source = named[tile.name.rpartition("_d")[0]]
        assert np.array_equal(tile.labels, source.labels)
        assert not np.array_equal(tile.grey, source.grey)
    again = make_tiles([sample], recipe, 0.5, 1)
    assert all(np.array_equal(a.grey, b.grey) for a, b in zip(made, again, strict=True))
    few = DataRecipe(tile=(40, 50), mirrored=False, images=3)
    assert len(add_copies(cut_tiles([sample], few), few, 1.0, 1)) == 4  # none is thrown away


@pytest.mark.network
class TestBatches:
    def test_a_batch_depends_on_seed_epoch_and_step_alone(
        self, make_sample: Callable[..., Sample], tiny_recipe: Recipe
    ) -> None:
        from mudrock_cli.deeplab.augmentation import TrainingCrops

        samples = [make_sample("a", seed=1), make_sample("b", seed=2)]
        first = TrainingCrops(samples, tiny_recipe, 4)
        later = [TrainingCrops(samples, tiny_recipe, 4)[step] for step in (2, 0)]
        assert np.array_equal(first[0][0], later[1][0])
        assert np.array_equal(first[2][1], later[0][1])
        assert not np.array_equal(first[0][0], first[1][0])
        assert not np.array_equal(first[0][0], TrainingCrops(samples, tiny_recipe, 5)[0][0])
        grey, labels = first[0]
        assert (grey.shape, grey.dtype) == ((2, 32, 48, 1), np.float32)
        assert (labels.shape, labels.dtype) == ((2, 32, 48), np.uint8)

    def test_every_tile_comes_once_an_epoch(self, tiny_recipe: Recipe) -> None:
        from mudrock_cli.deeplab.augmentation import TrainingCrops, count_steps

        tiles = [
            Sample(f"t{n}", f"t{n}", np.full((32, 48), n, np.uint8), np.zeros((32, 48), np.uint8))
            for n in range(8)
        ]
        recipe = replace(
            tiny_recipe,
            data=DataRecipe(crop=(32, 48), tile=(32, 48)),
            augment=OFF,
            training=replace(tiny_recipe.training, steps_per_epoch=0),
        )
        assert count_steps(tiles, recipe) == 4
        orders = []
        for epoch in (0, 1):
            crops = TrainingCrops(tiles, recipe, epoch)
            orders.append([int(grey[0, 0, 0]) for i in range(4) for grey in crops[i][0]])
            assert sorted(orders[-1]) == list(range(8))
        assert orders[0] != orders[1]

    def test_sources_are_drawn_by_area_to_three_quarters(self, tiny_recipe: Recipe) -> None:
        from mudrock_cli.deeplab.augmentation import weigh_samples

        half = replace(plain_sample((40, 20), "half"), source="whole")
        rest = replace(plain_sample((40, 60), "rest"), source="whole")
        other = plain_sample((10, 20), "other")
        weights = weigh_samples([half, rest, other])
        assert (weights[0] + weights[1]) / weights[2] == pytest.approx(16**0.75)
        assert weights[1] / weights[0] == pytest.approx(3)
        assert weights.sum() == pytest.approx(1)

    def test_fixed_tiles_show_every_labelled_pixel_once(self) -> None:
        from mudrock_cli.deeplab.augmentation import FixedTiles

        samples = [plain_sample((70, 100)), plain_sample((20, 33))]
        tiles = FixedTiles(samples, (32, 48), 4)
        counts = np.zeros(256, np.int64)
        for step in range(len(tiles)):
            grey, labels = tiles[step]
            assert grey.shape == (4, 32, 48, 1)
            counts += np.bincount(labels.ravel(), minlength=256)
        wanted = sum(np.bincount(sample.labels.ravel(), minlength=3) for sample in samples)
        assert np.array_equal(counts[:3], wanted)


def test_crops_of_strokes_show_a_stroke(tiny_recipe: Recipe) -> None:
    from mudrock_cli.deeplab.augmentation import TrainingCrops

    labels = np.full((400, 500), 255, np.uint8)
    labels[390:396, 20:80] = 1
    labels[7:9, 470:500] = 2
    grey = np.zeros(labels.shape, np.uint8)
    crops = TrainingCrops([Sample("a", "a", grey, labels)], tiny_recipe, 0)
    shown = [np.unique(crops[step][1][crop]) for step in range(3) for crop in range(2)]
    assert all(len(phases) > 1 or phases[0] != 255 for phases in shown)
    assert {1, 2} <= {int(phase) for phases in shown for phase in phases}
