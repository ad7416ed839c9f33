"""The forest equals scikit-learn's, learns from strokes, and its folder holds numbers only."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from mudrock_cli.classical import forest as forest_trees
from mudrock_cli.classical.forest import Forest, ForestRecipe, grow_trees, train_forest
from mudrock_cli.errors import MudrockError

SMALL = ForestRecipe(trees=12, depth=6, scales=(1.0, 4.0), pixels_per_phase=400)
EQUAL = np.ones(3, np.float32)


def make_texture(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy clay with smooth bright silt and dark pores."""
    rng = np.random.default_rng(seed)
    label = np.zeros((120, 160), np.uint8)
    label[20:70, 20:80] = 1
    label[80:110, 100:140] = 2
    grey = np.select([label == 1, label == 2], [150, 40], 150) + rng.normal(0, 1, label.shape)
    grey[label == 0] += rng.normal(0, 30, (label == 0).sum())
    return grey.clip(0, 255).round().astype(np.uint8), label


@pytest.fixture(scope="module")
def forest() -> Forest:
    images, labels = zip(*(make_texture(seed) for seed in (1, 2)), strict=True)
    return train_forest(images, labels, SMALL)


def accuracy(forest: Forest, seed: int) -> float:
    grey, label = make_texture(seed)
    return float((forest.predict(grey, threads=1).argmax(axis=2) == label).mean())


@pytest.mark.parametrize("depth", [1, 3, 8])
def test_trees_equal_scikit_learn(depth: int) -> None:
    rng = np.random.default_rng(0)
    steps = rng.integers(0, 256, (500, 7), np.uint8)
    phases = (steps[:, 0] > 100).astype(np.uint8) + (steps[:, 3] > 200)
    options = {"trees": 9, "features_per_node": 2, "min_leaf": 2, "seed": 5}
    trees = grow_trees(steps, phases, depth=depth, **options)
    reference = RandomForestClassifier(
        9, max_features=2, max_depth=depth, min_samples_leaf=2, random_state=5
    ).fit(steps, phases)
    unseen = rng.integers(0, 256, (40_000, 7), np.uint8)  # more than a chunk
    expected = reference.predict_proba(unseen)
    np.testing.assert_allclose(trees.predict(unseen, EQUAL, threads=2), expected, atol=1e-3)


def test_a_phase_without_training_pixels_has_no_probability() -> None:
    steps = np.arange(200, dtype=np.uint8).reshape(100, 2)
    phases = np.where(np.arange(100) < 50, 0, 2).astype(np.uint8)
    options = {"features_per_node": 2, "depth": 4, "min_leaf": 1, "seed": 0}
    found = grow_trees(steps, phases, trees=4, **options).predict(steps, EQUAL)
    assert (found[:, 1] == 0).all()
    assert (found.argmax(axis=1) == phases).mean() > 0.95


def test_stopping_early_changes_hardly_a_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    steps = rng.integers(0, 256, (1500, 6), np.uint8)
    noise = rng.normal(0, 20, len(steps))
    phases = np.digitize(steps[:, 0] + noise, [90, 170]).astype(np.uint8)
    options = {"features_per_node": 2, "depth": 8, "min_leaf": 5, "seed": 0}
    trees = grow_trees(steps, phases, trees=100, **options)
    unseen = rng.integers(0, 256, (10_000, 6), np.uint8)
    quick = trees.predict(unseen, EQUAL)
    monkeypatch.setattr(forest_trees, "_LEAD", 2.0)
    full = trees.predict(unseen, EQUAL)
    changed = quick.argmax(axis=1) != full.argmax(axis=1)
    assert changed.mean() < 1e-3
    assert (quick != full).any()


def test_learns_textures(forest: Forest) -> None:
    grey, _ = make_texture(3)
    found = forest.predict(grey)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=2), 1, atol=1e-5)
    assert accuracy(forest, 3) > 0.9


def test_learns_from_a_few_strokes() -> None:
    grey, label = make_texture(1)
    strokes = np.full_like(label, 255)
    strokes[40:44, 30:70] = strokes[90:94, 105:135] = strokes[100:104, 10:90] = 1
    strokes[strokes == 1] = label[strokes == 1]
    forest = train_forest([grey], [strokes], SMALL)
    assert accuracy(forest, 3) > 0.85


def test_bands_give_what_the_whole_gives(forest: Forest, monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.tile(make_texture(4)[0], (2, 1))
    whole = forest.predict(grey)
    monkeypatch.setattr("mudrock_cli.classical.forest._BAND_PIXELS", 50 * grey.shape[1])
    assert (forest.predict(grey).argmax(axis=2) == whole.argmax(axis=2)).mean() > 0.999


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (2, 300)])
def test_small_images(forest: Forest, shape: tuple[int, int]) -> None:
    assert forest.predict(np.full(shape, 90, np.uint8)).shape == (*shape, 3)


def test_same_seed_same_forest(forest: Forest) -> None:
    images, labels = zip(*(make_texture(seed) for seed in (1, 2)), strict=True)
    again = train_forest(images, labels, SMALL)
    assert np.array_equal(again.trees.value, forest.trees.value)
    assert np.array_equal(again.trees.threshold, forest.trees.threshold)


def test_frequency_of_the_labels_is_the_prior() -> None:
    images, labels = zip(*(make_texture(seed) for seed in (1, 2)), strict=True)
    shares = np.bincount(np.concatenate(labels).ravel(), minlength=3) / (2 * labels[0].size)
    recipe = ForestRecipe.from_toml(SMALL.to_toml().replace("prior = 0.6", "prior = 1.0"))
    np.testing.assert_allclose(train_forest(images, labels, recipe).prior, shares, rtol=1e-5)
    strokes = [np.where(np.arange(160) % 4 == 0, label, 255).astype(np.uint8) for label in labels]
    np.testing.assert_allclose(train_forest(images, strokes, recipe).prior, 1 / 3, rtol=1e-5)


def test_folder_round_trip(forest: Forest, tmp_path: Path) -> None:
    forest.save(tmp_path / "model")
    loaded = Forest.load(tmp_path / "model")
    grey, _ = make_texture(5)
    assert loaded.recipe == forest.recipe
    assert np.array_equal(loaded.predict(grey), forest.predict(grey))
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "recipe.toml",
        "weights.npz",
    ]


def damage(folder: Path, **changes: np.ndarray | None) -> None:
    with np.load(folder / "weights.npz") as file:
        arrays = {name: file[name] for name in file.files} | changes
    known = {name: array for name, array in arrays.items() if array is not None}
    np.savez(folder / "weights.npz", **known)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"feature": np.full((12, 64), 200, np.uint8)}, "numbers that no forest has"),
        ({"low": np.full(13, np.nan, np.float32)}, "numbers that no forest has"),
        ({"prior": np.zeros(3, np.float32)}, "numbers that no forest has"),
        ({"value": np.zeros((12, 64, 3), np.float16)}, "numbers that no forest has"),
        ({"value": np.zeros((12, 32, 3), np.float16)}, "the recipe makes it float16"),
        ({"threshold": np.zeros((12, 64), np.int64)}, "the recipe makes it uint8"),
        ({"high": None}, "no arrays of a forest"),
        ({"high": np.array([{}], object)}, "holds object, no numbers"),
    ],
)
def test_a_damaged_file_is_refused(
    forest: Forest, tmp_path: Path, changes: dict[str, np.ndarray | None], told: str
) -> None:
    forest.save(tmp_path)
    damage(tmp_path, **changes)
    with pytest.raises(MudrockError, match=told):
        Forest.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04" + 100 * b"\0"])
def test_another_file_is_refused(forest: Forest, tmp_path: Path, content: bytes) -> None:
    forest.save(tmp_path)
    (tmp_path / "weights.npz").write_bytes(content)
    with pytest.raises(MudrockError, match=r"weights\.npz"):
        Forest.load(tmp_path)


def test_refuses_data_it_cannot_learn_from() -> None:
    grey, label = make_texture(1)
    with pytest.raises(MudrockError, match="does not belong"):
        train_forest([grey], [label[1:]], SMALL)
    with pytest.raises(MudrockError, match="no phase"):
        train_forest([grey], [np.full_like(label, 7)], SMALL)
    with pytest.raises(MudrockError, match="fewer than two phases"):
        train_forest([grey], [np.full_like(label, 255)], SMALL)


def test_recipe_round_trip_and_refusals() -> None:
    assert ForestRecipe.from_toml(SMALL.to_toml()) == SMALL
    head = '[network]\narchitecture = "forest"\n'
    assert ForestRecipe.from_toml(head) == ForestRecipe()
    for text, told in [
        ("", "architecture"),
        ("[", "not valid TOML"),
        (head + "[forest]\nbranches = 3", "no key branches"),
        (head + "[forest]\ntrees = 2.5", r"forest.trees cannot be 2.5"),
        (head + "[forest]\ntrees = 0", "forest.trees cannot be 0"),
        (head + "[forest]\nscales = []", "scales"),
        (head + "[data]\nnm_per_pixel = nan", "nm_per_pixel cannot be nan"),
    ]:
        with pytest.raises(MudrockError, match=told):
            ForestRecipe.from_toml(text)
