"""The GPU's benchmark, two steps of it on whatever is here."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tifffile
from PIL import Image

from mudrock_cli.deeplab.recipe import Recipe, change_recipe
from mudrock_cli.image.mask import open_mask

pytestmark = pytest.mark.network
SMALL = (
    "network.architecture=unet",
    "network.encoder=plain",
    "network.unet_channels=4",
    "network.unet_levels=1",
    "data.crop=[32, 32]",
    "data.tile=[0, 0]",
    "data.images=0",
    "training.batch=1",
    "inference.tile=64",
    "inference.overlap=0",
)


@pytest.fixture
def gpu() -> ModuleType:
    path = Path(__file__).parent / "accuracy" / "gpu.py"
    spec = importlib.util.spec_from_file_location("gpu", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_two_steps_leave_masks_curves_weights_and_figures(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for name in "ab":
        labels = np.kron(rng.integers(0, 3, (7, 8)), np.ones((10, 10))).astype(np.uint8)
        grey = np.array([120, 190, 40])[labels] + rng.normal(0, 6, labels.shape)
        image = tmp_path / "data" / "images" / f"{name}.tif"
        size = (100.0, 100.0)  # pixels a micrometre
        tifffile.imwrite(
            image, grey.astype(np.uint8), imagej=True, resolution=size, metadata={"unit": "um"}
        )
        Image.fromarray(labels).save(tmp_path / "data" / "labels" / f"{name}.png")
    monkeypatch.setattr(gpu, "TRIAL_STEPS", 1)
    words = ["--network", "paper", "--folds", "2", "--minutes", "0"]
    settings = [word for setting in SMALL for word in ("--set", setting)]
    out = tmp_path / "out"
    assert gpu.main([str(tmp_path / "data"), "--out", str(out), *words, *settings]) == 0

    figures = json.loads((out / "paper" / "figures.json").read_text("utf-8"))
    assert figures["steps_a_second"] > 0
    assert 0 < figures["share_of_h200"] < 1
    assert [fold["steps"] for fold in figures["folds"]] == [2, 2]
    for name in "ab":
        assert open_mask(out / "paper" / "held-out" / f"{name}.tif").shape == (70, 80)
    for number in (1, 2):
        fold = out / "paper" / f"fold-{number}"
        curves = (fold / "log.csv").read_text("utf-8").splitlines()
        assert len(curves) == 2  # the names, and one epoch
        recipe = Recipe.from_toml((fold / "recipe.toml").read_text("utf-8"))
        assert recipe.training.precision == "mixed_bfloat16"
        arrays = {}
        for path in fold.glob("weights-*.npz"):
            assert path.stat().st_size < 16 << 20
            arrays |= dict(np.load(path))
        assert arrays["bottom_1_conv/kernel"].dtype == np.float16
        assert "phase_scores/bias" in arrays


def test_weights_are_divided_without_loss(gpu: ModuleType) -> None:
    arrays = {f"layer_{n}": np.full(n * 100, n / 4, np.float32) for n in range(1, 9)}
    parts = list(gpu.split_arrays(arrays, 1000))
    assert len(parts) > 1
    for part in parts:
        assert len(part) == 1 or sum(array.nbytes for array in part.values()) <= 1000
    whole = {name: array for part in parts for name, array in part.items()}
    assert list(whole) == list(arrays)
    assert all(np.array_equal(whole[name], arrays[name]) for name in arrays)


def test_steps_fit_the_time(gpu: ModuleType) -> None:
    recipe = change_recipe(Recipe(), ["training.epochs=50", "training.steps_per_epoch=300"])
    planned = gpu.fit_time(recipe, 0.1, 100.0)
    assert (planned.training.epochs, planned.training.steps_per_epoch) == (10, 100)
    assert gpu.fit_time(recipe, 1e-4, 100.0).training.epochs == 150  # its own 15,000 steps
    assert gpu.fit_time(recipe, 10.0, 0.0).training.steps_per_epoch == 2


def test_operations_by_hand(gpu: ModuleType) -> None:
    import keras

    image = keras.Input((8, 6, 4))
    x = keras.layers.Conv2D(5, 3, padding="same")(image)
    x = keras.layers.DepthwiseConv2D(3, strides=2, padding="same")(x)
    x = keras.layers.Conv2DTranspose(3, 2, 2)(x)
    expected = 2 * (8 * 6 * 9 * 4 * 5 + 4 * 3 * 9 * 5 + 4 * 3 * 4 * 5 * 3)
    assert gpu.count_operations(keras.Model(image, x)) == expected
