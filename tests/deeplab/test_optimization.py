"""Schedule, loss and weight decay against a calculation by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mudrock_cli.deeplab.recipe import LossRecipe, OptimizerRecipe, Recipe, load_recipe
from mudrock_cli.image.labels import encode_set
from mudrock_cli.image.types import Phase

pytestmark = pytest.mark.network


def rate(recipe: OptimizerRecipe, step: int) -> float:
    from mudrock_cli.deeplab.training import PolynomialRate

    return float(PolynomialRate(recipe)(np.int64(step)))


def test_the_papers_schedule() -> None:
    paper = load_recipe("paper").optimizer
    for step in (0, 1, 5000, 14_999, 15_000, 19_600):
        left = max(0, 1 - step / 15_000)
        assert rate(paper, step) == pytest.approx((7e-3 - 1e-6) * left**0.9 + 1e-6, abs=1e-8)
    assert rate(paper, 0) == pytest.approx(7e-3)
    assert rate(paper, 19_000) == pytest.approx(1e-6)


def test_warm_up_rises_in_equal_steps() -> None:
    recipe = OptimizerRecipe(rate=1.0, end_rate=1.0, warmup_steps=4)
    assert [rate(recipe, step) for step in range(6)] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (1.0, 2.0, 0.5)])
@pytest.mark.parametrize("dice", [0.0, 0.7])
def test_the_loss(weights: tuple[float, float, float], dice: float) -> None:
    from mudrock_cli.deeplab.training import PhaseLoss

    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (2, 5, 6, 3)).astype(np.float32)
    clay_or_pore = encode_set((Phase.CLAY, Phase.PORE))
    labels = rng.choice(np.array([0, 1, 2, 255, clay_or_pore], np.uint8), (2, 5, 6))
    share, total, divisor = softmax(logits.astype(float)), 0.0, 0.0
    overlap, sizes = np.zeros(3), np.zeros(3)
    for place in np.ndindex(labels.shape):
        label = labels[place]
        if label == 255:
            continue
        if label == clay_or_pore:
            total -= (weights[0] + weights[2]) / 2 * np.log(share[place][[0, 2]].sum())
            divisor += (weights[0] + weights[2]) / 2
            continue
        total -= weights[label] * np.log(share[place][label])
        divisor += weights[label]
        overlap[label] += share[place][label]
        sizes[label] += 1
        sizes += share[place]
    expected = total / divisor + dice * (1 - np.mean((2 * overlap + 1) / (sizes + 1)))
    loss = PhaseLoss(LossRecipe(class_weights=weights, dice=dice))
    assert float(loss(labels, logits)) == pytest.approx(expected, rel=1e-5)


def test_the_papers_loss_is_tensorflows_over_labelled_pixels() -> None:
    import keras

    from mudrock_cli.deeplab.training import PhaseLoss

    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (2, 4, 4, 3)).astype(np.float32)
    labels = rng.integers(0, 3, (2, 4, 4)).astype(np.uint8)
    plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
    assert float(PhaseLoss(LossRecipe())(labels, logits)) == pytest.approx(
        float(plain(labels, logits)), rel=1e-5
    )


def test_nothing_labelled_is_no_loss() -> None:
    from mudrock_cli.deeplab.training import PhaseLoss

    logits = np.ones((1, 4, 4, 3), np.float32)
    loss = PhaseLoss(LossRecipe(dice=0.5))(np.full((1, 4, 4), 255, np.uint8), logits)
    assert float(loss) == pytest.approx(0, abs=1e-6)


def test_labels_that_leave_phases_open_ask_for_no_more() -> None:
    from mudrock_cli.deeplab.training import PhaseLoss, PhaseScores
    from mudrock_cli.deeplab.weights import to_array

    solid = encode_set((Phase.CLAY, Phase.SILT))
    labels = np.array([[[solid, Phase.PORE]]], np.uint8)
    loss = PhaseLoss(LossRecipe(dice=0.5))
    right = [
        loss(labels, np.array([[[one, [-20.0, -20, 20]]]])) for one in ([20.0, 0, 0], [0, 20.0, 0])
    ]
    assert [float(value) for value in right] == pytest.approx([0, 0], abs=1e-6)
    assert float(loss(labels, np.array([[[[0.0, 0, 20], [-20, -20, 20]]]]))) > 9
    scores = PhaseScores()
    scores.update_state(labels, np.array([[[[0.0, 0, 20], [-20, -20, 20]]]]))
    assert to_array(scores.counts).tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 1]]
    found = {name: float(value) for name, value in scores.result().items()}
    assert found["iou_pore"] == found["iou_mean"] == 0.5
    assert np.isnan([found["iou_clay"], found["iou_silt"]]).all()


def build(recipe: Recipe) -> Any:
    from mudrock_cli.deeplab.network import build_network
    from mudrock_cli.deeplab.training import PhaseLoss, add_weight_decay, make_optimizer

    network = build_network(recipe.network, 32, 48)
    add_weight_decay(network, recipe.loss.weight_decay)
    network.compile(optimizer=make_optimizer(recipe), loss=PhaseLoss(recipe.loss), run_eagerly=True)
    return network


def test_weight_decay_is_half_the_sum_of_squares_of_all_trainable_weights(
    tiny_recipe: Recipe,
) -> None:
    recipe = replace(tiny_recipe, optimizer=replace(tiny_recipe.optimizer, decay_steps=10))
    network = build(recipe)
    squares = sum(float((np.asarray(w) ** 2).sum()) for w in network.trainable_variables)
    added = sum(float(loss) for loss in network.losses)
    assert added == pytest.approx(1e-4 * squares / 2, rel=1e-5)
    names = {weight.path.rpartition("/")[2] for weight in network.trainable_variables}
    assert names == {"kernel", "bias", "gamma", "beta"}


def test_a_step_of_momentum_is_the_papers(tiny_recipe: Recipe) -> None:
    """Velocity m = 0.9 m - rate (gradient + decay weight), weight += m, twice."""
    import tensorflow as tf

    optimizer = OptimizerRecipe(name="momentum", rate=0.1, end_rate=0.1, decay_steps=5)
    network = build(replace(tiny_recipe, optimizer=optimizer, loss=LossRecipe(weight_decay=0.01)))
    if not isinstance(network.trainable_variables[0].value, tf.Variable):
        pytest.skip("gradients are taken with TensorFlow here")
    rng = np.random.default_rng(0)
    grey = rng.uniform(0, 255, (1, 32, 48, 1)).astype(np.float32)
    labels = rng.integers(0, 3, (1, 32, 48)).astype(np.uint8)
    kernel = network.get_layer("phase_scores").kernel
    velocity = 0.0
    for _ in range(2):
        before = np.asarray(kernel)
        with tf.GradientTape() as tape:
            loss = network.loss(labels, network(grey, training=True))
        gradient = np.asarray(tape.gradient(loss, kernel.value))
        velocity = 0.9 * velocity - 0.1 * (gradient + 0.01 * before)
        network.train_on_batch(grey, labels)
        assert np.allclose(np.asarray(kernel), before + velocity, atol=1e-5)


def test_adamw_decays_kernels_alone(tiny_recipe: Recipe) -> None:
    chosen = replace(
        tiny_recipe.optimizer, rate=0.1, end_rate=0.1, decay_steps=5, decoupled_decay=0.5
    )
    recipe = replace(tiny_recipe, optimizer=replace(chosen, warmup_steps=0))
    network = build(recipe)
    before = {w.path: np.asarray(w) for w in network.trainable_variables}
    weights = network.trainable_variables
    network.optimizer.apply([np.zeros(w.shape, np.float32) for w in weights], weights)
    for weight in network.trainable_variables:
        decay = 0.05 if weight.path.endswith("kernel") else 0.0
        assert np.allclose(np.asarray(weight), before[weight.path] * (1 - decay), atol=1e-6)


def test_the_fused_adamw_is_that_of_keras(tiny_recipe: Recipe) -> None:
    """Weights and their averages over six steps, with decay, in a graph."""
    import keras
    import tensorflow as tf

    from mudrock_cli.deeplab.training import FusedAdamW, PolynomialRate

    if keras.backend.backend() != "tensorflow":
        pytest.skip("other backends use that of Keras")
    rate = PolynomialRate(replace(tiny_recipe.optimizer, rate=0.05, decay_steps=5))
    rng = np.random.default_rng(3)
    values = {"kernel": rng.normal(size=(3, 4)), "gamma": rng.normal(size=4)}
    gradients = rng.normal(size=(6, 16)).astype(np.float32)

    def run(kind: Any) -> list[Any]:
        weights = [keras.Variable(one, dtype="float32", name=name) for name, one in values.items()]
        optimizer = kind(rate, weight_decay=0.5, use_ema=True, ema_momentum=0.9)
        optimizer.exclude_from_weight_decay(var_names=["gamma"])
        optimizer.build(weights)

        @tf.function
        def step(row: Any) -> None:
            optimizer.apply([tf.reshape(row[:12], (3, 4)), row[12:]], weights)

        for row in gradients:
            step(tf.constant(row))
        own = [np.asarray(weight) for weight in weights]
        optimizer.finalize_variable_values(weights)
        return own + [np.asarray(weight) for weight in weights]

    found = [run(kind) for kind in (keras.optimizers.AdamW, FusedAdamW)]
    for ours, theirs in zip(*found, strict=True):
        assert np.allclose(ours, theirs, atol=1e-6)
    assert not np.allclose(found[0][0], found[0][2], atol=1e-2)  # the average is another
    assert np.abs(found[0][0] - values["kernel"]).max() > 0.1
