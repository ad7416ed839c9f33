"""The recipe's optimiser: momentum or AdamW, warm-up, polynomial decay, averaged weights."""

import keras
from keras import ops

from mudrock_cli.deeplab.recipes.recipe import OptimizerRecipe, Recipe


class PolynomialRate(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Learning rate of a step, counted from 0.

    rate(t) = ((rate - end_rate) (1 - min(t, T) / T) ** power + end_rate) min(1, (t + 1) / warmup)
    with T = decay_steps (Liu et al. 2015, arXiv:1506.04579, call the first factor "poly").

    Parameters
    ----------
    recipe : OptimizerRecipe
        With ``decay_steps`` above 0.
    """

    def __init__(self, recipe: OptimizerRecipe) -> None:
        self.recipe = recipe

    def __call__(self, step: keras.KerasTensor) -> keras.KerasTensor:
        """Return the rate of a step."""
        recipe = self.recipe
        time = ops.cast(step, "float32")
        left = 1 - ops.minimum(time, float(recipe.decay_steps)) / recipe.decay_steps
        rate = (recipe.rate - recipe.end_rate) * left**recipe.power + recipe.end_rate
        return rate * ops.minimum(1.0, (time + 1) / max(1, recipe.warmup_steps))

    def get_config(self) -> dict[str, object]:
        """Return the parameters."""
        return {"recipe": self.recipe}


def make_optimizer(recipe: Recipe) -> keras.optimizers.Optimizer:
    """Return the optimiser of a recipe whose ``decay_steps`` are known.

    AdamW's decay is decoupled and acts on kernels only; batch-norm scales and biases keep theirs.
    """
    chosen = recipe.optimizer
    average = recipe.training.average
    common = {
        "learning_rate": PolynomialRate(chosen),
        "global_clipnorm": chosen.clip_norm or None,
        "use_ema": average > 0,
        "ema_momentum": average or 0.99,
    }
    if chosen.name == "momentum":
        return keras.optimizers.SGD(momentum=chosen.momentum, **common)
    optimizer = keras.optimizers.AdamW(weight_decay=chosen.decoupled_decay, **common)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def add_weight_decay(network: keras.Model, decay: float) -> None:
    """Add decay / 2 times the sum of squares of all trainable weights to the network's loss.

    As the paper's TensorFlow code does (``tf.nn.l2_loss`` of every trainable variable, batch-norm
    scales and biases included).
    """
    if decay:
        for variable in network.trainable_variables:
            variable.regularizer = keras.regularizers.L2(decay / 2)
