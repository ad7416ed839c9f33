"""The last layer is solved as scikit-learn does, keeps what it is not told, learns strokes."""

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mudrock_cli.deeplab.dataset import Sample
from mudrock_cli.deeplab.last_layer import fit_change, solve_last_layer
from mudrock_cli.deeplab.network import build_network
from mudrock_cli.deeplab.recipe import Recipe, change_recipe
from mudrock_cli.image.labels import encode_set
from mudrock_cli.image.types import Phase

CLAY, SILT, PORE = 0, 1, 2


def make_points(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Three clouds of features, the same number of each, and their phases."""
    rng = np.random.default_rng(0)
    labels = np.repeat([CLAY, SILT, PORE], count)
    centres = np.array([[1.0, 3.0, 0.0, 1.0], [2.0, 2.0, 1.0, 1.0], [1.5, 1.0, 1.0, 2.0]])
    return centres[labels] + rng.normal(0, 1, (3 * count, 4)), labels


@pytest.mark.parametrize("pull", [0.003, 0.1])
def test_equals_the_logistic_regression_of_scikit_learn(pull: float) -> None:
    points, labels = make_points(200)
    kernel, bias = fit_change(points, np.zeros((600, 3)), labels, pull)
    scale = np.sqrt((points**2).mean(axis=0))
    given = np.column_stack([points / scale, np.full(600, 10.0)])  # a bias costs a hundredth
    reference = LogisticRegression(C=1 / (pull * 600), fit_intercept=False, tol=1e-8, max_iter=1000)
    expected = reference.fit(given, labels).predict_proba(given)
    found = keras.ops.convert_to_numpy(keras.ops.softmax(points @ kernel + bias))
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_labels_that_the_network_gives_already_change_little() -> None:
    points, labels = make_points(200)
    sure = 20.0 * np.eye(3)[labels]
    kernel, bias = fit_change(points, sure, labels, 0.1)
    assert max(np.abs(kernel).max(), np.abs(bias).max()) < 1e-3


def test_a_phase_without_labels_keeps_its_weights() -> None:
    points, labels = make_points(200)
    known = labels != SILT
    kernel, bias = fit_change(points[known], np.zeros((400, 3)), labels[known], 0.1)
    assert not kernel[:, SILT].any()
    assert bias[SILT] == 0
    assert np.abs(kernel[:, PORE]).max() > 0.1


def test_labels_that_leave_two_phases_open_teach_the_third() -> None:
    points, labels = make_points(400)
    open_ones = np.where(labels == PORE, PORE, encode_set((Phase.CLAY, Phase.SILT)))
    given = 3.0 * np.eye(3)[np.where(labels == SILT, SILT, CLAY)]  # knows silt, calls pores clay
    kernel, bias = fit_change(points, given, open_ones, 0.01)
    told = (given + points @ kernel + bias).argmax(axis=1)
    binary = np.where(labels == PORE, 1, 0)
    reference = LogisticRegression(C=10, max_iter=1000).fit(points, binary)
    best = (reference.predict(points) == binary).mean()
    assert ((told == PORE) == (labels == PORE)).mean() > best - 0.02
    solid = (labels != PORE) & (told != PORE)
    assert (told[solid] == labels[solid]).mean() > 0.95  # what was known of clay and silt stays


def test_class_weights_bring_a_rare_phase_forward() -> None:
    points, labels = make_points(200)
    rare = (labels != PORE) | (np.arange(600) % 10 == 0)
    zero = np.zeros((rare.sum(), 3))

    def recall(weight: float) -> float:
        weights = (1.0, 1.0, weight)
        kernel, bias = fit_change(points[rare], zero, labels[rare], 0.01, weights)
        return float(((points @ kernel + bias).argmax(axis=1)[labels == PORE] == PORE).mean())

    assert recall(np.sqrt(10)) > recall(1.0) + 0.2


def make_texture(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy clay with smooth silt of the same grey, and dark pores."""
    rng = np.random.default_rng(seed)
    label = np.zeros((128, 192), np.uint8)
    label[20:70, 20:80], label[80:110, 100:140] = SILT, PORE
    grey = np.where(label == PORE, 40, 150) + rng.normal(0, 1, label.shape)
    grey[label == CLAY] += rng.normal(0, 30, (label == CLAY).sum())
    return grey.clip(0, 255).round().astype(np.uint8), label


def test_strokes_teach_a_network() -> None:
    keras.utils.set_random_seed(0)
    recipe = change_recipe(
        Recipe(),
        [
            "network.architecture=unet",
            "network.encoder=plain",
            "network.unet_channels=16",
            "network.unet_levels=2",
            "loss.start_pull=0.001",
            "loss.weight_decay=0",
        ],
    )
    grey, label = make_texture(1)
    strokes = np.full_like(label, 255)
    for place in (np.s_[40:45, 30:70], np.s_[90:95, 105:135], np.s_[100:105, 10:90]):
        strokes[place] = label[place]
    network = build_network(recipe.network, 128, 192)
    solve_last_layer(network, [Sample("one", "one", grey, strokes)], recipe)
    other, truth = make_texture(2)
    called = network.predict(other[None, ..., None].astype(np.float32), verbose=0)[0].argmax(axis=2)
    assert (called == truth).mean() > 0.8
