"""Train a network by its recipe, from samples in memory to weights."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import keras

from mudrock_cli.deeplab.data.crops import count_steps
from mudrock_cli.deeplab.data.dataset import Sample
from mudrock_cli.deeplab.network.architecture import build_network
from mudrock_cli.deeplab.network.backend import spread_over_devices
from mudrock_cli.deeplab.recipes.recipe import Recipe
from mudrock_cli.deeplab.training.loop import Trained, TrainingLoop, Watcher
from mudrock_cli.deeplab.training.losses import PhaseLoss
from mudrock_cli.deeplab.training.optimization import add_weight_decay, make_optimizer
from mudrock_cli.deeplab.training.phase_scores import PhaseScores

Start = Callable[[keras.Model], None]


def complete_recipe(recipe: Recipe, samples: Sequence[Sample]) -> Recipe:
    """Return the recipe with the steps that it leaves open written out.

    Parameters
    ----------
    recipe : Recipe
        May have 0 for ``steps_per_epoch`` and ``decay_steps``.
    samples : sequence of Sample
        What it will be trained on.
    """
    steps = count_steps(samples, recipe)
    training = dataclasses.replace(recipe.training, steps_per_epoch=steps)
    decay = recipe.optimizer.decay_steps or steps * recipe.training.epochs
    optimizer = dataclasses.replace(recipe.optimizer, decay_steps=decay)
    return dataclasses.replace(recipe, training=training, optimizer=optimizer)


def train_network(
    recipe: Recipe,
    train: Sequence[Sample],
    validation: Sequence[Sample],
    folder: Path,
    start: Start,
    watcher: Watcher,
    *,
    key: str = "",
    resume: bool = False,
) -> Trained:
    """Train a network until the epochs are over, patience is, or somebody stops it.

    Parameters
    ----------
    recipe : Recipe
        From `complete_recipe`.
    train, validation : sequence of Sample
        What it learns from, and what its epochs are judged on (may be empty).
    folder : Path
        Gets the checkpoints and the logs.
    start : callable
        Gives a new network its first weights.
    watcher : Watcher
        Is told of every step and epoch.
    key : str
        What is trained on what; a checkpoint of another key is not taken up.
    resume : bool
        Go on from the folder's last checkpoint, if it has one: the same seeds, crops, optimiser
        state and rates as if the training had never stopped.

    Raises
    ------
    MudrockError
        If a checkpoint cannot be read or written, or the loss is no number in the first epoch.
    """
    with _precision(recipe.training.precision), spread_over_devices():
        keras.utils.set_random_seed(recipe.training.seed)
        network = build_network(recipe.network, *recipe.data.crop)
        start(network)
        add_weight_decay(network, recipe.loss.weight_decay)
        network.compile(
            optimizer=make_optimizer(recipe),
            loss=PhaseLoss(recipe.loss),
            metrics=[PhaseScores()],
            jit_compile=keras.backend.backend() == "jax",
        )
        loop = TrainingLoop(recipe, network, train, validation, folder, watcher, key)
        return loop.run(resume)


@contextlib.contextmanager
def _precision(policy: str) -> Iterator[None]:
    """Build layers in a precision of their own; what comes after is as before."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
