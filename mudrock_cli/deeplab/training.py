"""Train a network by its recipe: what is minimised and how, checkpoints, logs, the loop."""

import contextlib
import csv
import dataclasses
import io
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from mudrock_cli.deeplab.augmentation import FixedTiles, TrainingCrops, count_steps
from mudrock_cli.deeplab.dataset import Sample, normalise_samples
from mudrock_cli.deeplab.network import build_network, freeze_blocks, keep_statistics
from mudrock_cli.deeplab.recipe import LossRecipe, OptimizerRecipe, Recipe
from mudrock_cli.deeplab.weights import (
    Arrays,
    read_variables,
    spread_over_devices,
    to_array,
    write_arrays,
)
from mudrock_cli.errors import MudrockError
from mudrock_cli.files import read_named_arrays, write_text
from mudrock_cli.image.labels import list_allowed
from mudrock_cli.image.types import Phase

PHASES = (Phase.CLAY, Phase.SILT, Phase.PORE)
_IMPOSSIBLE = -1e4  # the logarithm of a probability, as good as that of 0


# What training minimises: weighted cross-entropy, and soft Dice beside it.


def encode_labels(labels: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Return which phases labels (N, H, W) allow, and which they are, both (N, H, W, 3).

    Ones and zeros; all zero where nothing is known. A label that leaves two phases open is neither.
    """
    table = ops.convert_to_tensor(list_allowed().astype("float32"))
    allowed = ops.take(table, ops.cast(labels, "int32"), axis=0)
    single = ops.cast(ops.sum(allowed, axis=-1, keepdims=True) == 1, "float32")
    return allowed, allowed * single


class PhaseLoss(keras.losses.Loss):  # type: ignore[misc]
    """Cross-entropy over labelled pixels, weighted by phase, plus a share of soft Dice.

    Where a label leaves two phases open, the cross-entropy is that of their summed probability,
    weighted by the mean of their weights, and Dice leaves the pixel out.

    Parameters
    ----------
    recipe : LossRecipe
        Weights of the phases and of the Dice term (Milletari et al. 2016, arXiv:1606.04797).
    """

    def __init__(self, recipe: LossRecipe) -> None:
        super().__init__(name="phase_loss")
        self.recipe = recipe

    def call(self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor) -> keras.KerasTensor:
        """Return the loss of labels (N, H, W) and logits (N, H, W, 3), shape (1,).

        Already averaged; not a scalar, because Keras divides a scalar among no devices.
        """
        allowed, one_hot = encode_labels(y_true)
        logits = ops.cast(y_pred, "float32")
        log_share = ops.log_softmax(logits, axis=-1)
        weights = ops.convert_to_tensor(self.recipe.class_weights, dtype="float32")
        log_allowed = ops.logsumexp(log_share + _IMPOSSIBLE * (1 - allowed), axis=-1)
        possible = ops.sum(allowed, axis=-1)
        weight = ops.sum(allowed * weights, axis=-1) / ops.maximum(possible, 1.0)
        loss = -ops.sum(weight * log_allowed) / (ops.sum(weight) + 1e-6)
        if self.recipe.dice:
            known = ops.sum(one_hot, axis=-1, keepdims=True)
            share = ops.exp(log_share) * known
            overlap = ops.sum(share * one_hot, axis=(0, 1, 2))
            total = ops.sum(share, axis=(0, 1, 2)) + ops.sum(one_hot, axis=(0, 1, 2))
            dice = 1 - ops.mean((2 * overlap + 1) / (total + 1))
            loss = loss + self.recipe.dice * dice
        return ops.reshape(loss, (1,))


# Pixel accuracy and IoU of each phase, counted while a network is trained.


class PhaseScores(keras.metrics.Metric):  # type: ignore[misc]
    """Counts truth against prediction; an open label counts as `settle_partial` says."""

    def __init__(self) -> None:
        super().__init__(name="counts", dtype="float32")
        self.counts = self.add_variable((3, 3), initializer="zeros", name="counts")
        self.labelled = self.add_variable((3,), initializer="zeros", name="labelled")

    def update_state(
        self,
        y_true: keras.KerasTensor,
        y_pred: keras.KerasTensor,
        sample_weight: None = None,
    ) -> None:
        """Add a batch of labels (N, H, W) and logits (N, H, W, 3)."""
        allowed, single = (ops.reshape(labels, (-1, 3)) for labels in encode_labels(y_true))
        chosen = ops.one_hot(ops.reshape(ops.argmax(y_pred, axis=-1), (-1,)), 3, dtype="float32")
        right = ops.sum(allowed * chosen, axis=-1, keepdims=True)
        known = ops.max(allowed, axis=-1, keepdims=True)
        first = known * ops.one_hot(ops.argmax(allowed, axis=-1), 3, dtype="float32")
        truth = right * chosen + (1 - right) * first
        self.labelled.assign(self.labelled + ops.sum(single, axis=0))
        self.counts.assign(self.counts + ops.matmul(ops.transpose(truth), chosen))

    def result(self) -> dict[str, keras.KerasTensor]:
        """Return pixel accuracy, IoU of each phase (NaN of one without labels) and their mean."""
        hits = ops.diagonal(self.counts)
        union = ops.sum(self.counts, axis=0) + ops.sum(self.counts, axis=1) - hits
        there = ops.cast(self.labelled > 0, "float32")
        iou = hits * there / (union * there)  # NaN for a phase that no label shows
        known = ops.where(there > 0, iou, 0.0)
        figures = {
            "pixel_accuracy": ops.sum(hits) / ops.maximum(ops.sum(self.counts), 1.0),
            "iou_mean": ops.sum(known) / ops.maximum(ops.sum(there), 1.0),
        }
        return figures | {f"iou_{phase.name.lower()}": iou[phase] for phase in PHASES}


# The recipe's optimiser: momentum or AdamW, warm-up, polynomial decay, averaged weights.


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


class FusedAdamW(keras.optimizers.AdamW):  # type: ignore[misc]
    """`keras.optimizers.AdamW` in a third of the operations, for TensorFlow on one device.

    Keras composes a step of 80 operations for each weight, and a network has 223; until the first
    step is done that takes 70 CPU seconds for 43 (`tests/benchmarks/accuracy/step_time.py`). Here
    one kernel applies the moments, and what all weights share (rate, powers, share of the average)
    is computed once.
    """

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Update the weights by their gradients."""
        import tensorflow as tf

        step = tf.cast(self.iterations.value + 1, tf.float32)
        self._powers = tf.pow(self.beta_1, step), tf.pow(self.beta_2, step)
        super().apply(grads, trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one weight, a `tf.Variable`."""
        import tensorflow as tf

        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self._powers[0],
            beta2_power=self._powers[1],
            lr=learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )

    def _apply_weight_decay(self, variables: Sequence[keras.Variable]) -> None:
        share = self.learning_rate * self.weight_decay
        for variable in filter(self._use_weight_decay, variables):
            variable.value.assign_sub(variable.value * share)

    def _update_model_variables_moving_average(self, variables: Sequence[keras.Variable]) -> None:
        if self.use_ema:
            first = ops.cast(ops.equal(self.iterations, 0), "float32")
            share = ops.maximum(first, 1 - self.ema_momentum)
            averages = self._model_variables_moving_average
            for variable, average in zip(variables, averages, strict=True):
                average.value.assign_add((variable.value - average.value) * share)


def make_optimizer(recipe: Recipe) -> keras.optimizers.Optimizer:
    """Return the optimiser of a recipe whose ``decay_steps`` are known.

    AdamW's decay is decoupled and acts on kernels only; batch-norm scales and biases keep theirs.
    """
    chosen = recipe.optimizer
    average = recipe.training.average
    common = {
        "learning_rate": PolynomialRate(chosen),
        "use_ema": average > 0,
        "ema_momentum": average or 0.99,
    }
    if chosen.name == "momentum":
        return keras.optimizers.SGD(momentum=chosen.momentum, **common)
    adamw = FusedAdamW if _is_one_tensorflow() else keras.optimizers.AdamW
    optimizer = adamw(weight_decay=chosen.decoupled_decay, **common)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def _is_one_tensorflow() -> bool:
    """Whether TensorFlow trains, and its variables are not mirrored on several devices."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.distribute.has_strategy()


class Pull(keras.regularizers.Regularizer):  # type: ignore[misc]
    """Pull a weight towards where it started, rather than towards nothing.

    ``pull / 2 * sum((weight - start) ** 2)``, the L2-SP of Li et al. 2018 (arXiv:1802.01483).
    """

    def __init__(self, start: npt.NDArray[np.floating], pull: float) -> None:
        self.start, self.pull = ops.convert_to_tensor(start, "float32"), pull

    def __call__(self, weight: keras.KerasTensor) -> keras.KerasTensor:
        """Return what the weight's distance costs."""
        return self.pull / 2 * ops.sum(ops.square(ops.cast(weight, "float32") - self.start))


def pull_to_start(network: keras.Model, pull: float) -> None:
    """Add `Pull` of all trainable weights to the network's loss; they start as they are now."""
    if pull:
        for variable in network.trainable_variables:
            variable.regularizer = Pull(to_array(variable), pull)


def add_weight_decay(network: keras.Model, decay: float) -> None:
    """Add decay / 2 times the sum of squares of all trainable weights to the network's loss.

    As the paper's TensorFlow code does (``tf.nn.l2_loss`` of every trainable variable, batch-norm
    scales and biases included).
    """
    if decay:
        for variable in network.trainable_variables:
            variable.regularizer = keras.regularizers.L2(decay / 2)


# All that a training is at the end of an epoch, in one file: weights, optimiser, history.

Row = dict[str, float | None]


@dataclass
class Progress:
    """How far a training is.

    Parameters
    ----------
    epochs : int
        Finished.
    history : list of dict
        The figures of each epoch.
    seconds : float
        Spent on the epochs.
    """

    epochs: int = 0
    history: list[Row] = field(default_factory=list)
    seconds: float = 0.0


def save_checkpoint(path: Path, network: keras.Model, progress: Progress, key: str) -> None:
    """Write the state of a training; where that fails, what was there before stays.

    Parameters
    ----------
    path : Path
        A ``.npz``.
    network : keras.Model
        Compiled, its optimiser built.
    progress : Progress
        Kept with it.
    key : str
        Says what is trained on what; a checkpoint is only taken up for the same.

    Raises
    ------
    MudrockError
        If the file cannot be written (a full disk), or a number is not finite.
    """
    arrays: Arrays = {name: to_array(variable) for name, variable in _state(network)}
    meta = json.dumps({"key": key, "progress": asdict(progress)})
    arrays["meta"] = np.frombuffer(meta.encode(), np.uint8)
    write_arrays(path, arrays, compressed=False)


def load_checkpoint(path: Path, network: keras.Model, key: str) -> Progress:
    """Give a compiled network the state that `save_checkpoint` wrote.

    Raises
    ------
    MudrockError
        If the file is damaged, or belongs to another training.
    """
    arrays = read_named_arrays(path)
    try:
        meta: Mapping[str, Any] = json.loads(bytes(arrays.pop("meta").tobytes()))
        progress = Progress(**meta["progress"])
    except (KeyError, TypeError, ValueError) as error:
        raise MudrockError(f"{path}: no checkpoint of a training") from error
    if meta.get("key") != key:
        raise MudrockError(
            f"{path}: the checkpoint of another training: recipe, data or start differ",
            "resume with the same data, or train into another folder",
        )
    network.optimizer.build(network.trainable_variables)
    state = dict(_state(network))
    odd = set(state) ^ set(arrays)
    if odd:
        raise MudrockError(f"{path}: not a checkpoint of this network ({sorted(odd)[0]})")
    for name, variable in state.items():
        if tuple(variable.shape) != arrays[name].shape:
            raise MudrockError(f"{path}: {name} has another shape in this network")
        variable.assign(arrays[name])
    return progress


def _state(network: keras.Model) -> Iterator[tuple[str, keras.Variable]]:
    """Yield names and variables: weights, seeds, the optimiser's own."""
    weights = {id(variable) for variable in network.weights}
    for variable in network.weights:
        yield f"weight:{variable.path}", variable
    seeds = [variable for variable in network.variables if id(variable) not in weights]
    for index, variable in enumerate(seeds):
        yield f"seed:{index}", variable
    for index, variable in enumerate(network.optimizer.variables):
        yield f"optimizer:{index}:{variable.name}", variable


# The figures of each epoch: a CSV, and the same for TensorBoard.


class TrainingLog:
    """Writes ``log.csv`` whole after every epoch, and events for TensorBoard.

    Parameters
    ----------
    folder : Path
        Gets both; the events lie in ``tensorboard/``.
    network : keras.Model
        Compiled.
    history : sequence of dict
        Epochs of before, of a training that is resumed.

    Raises
    ------
    MudrockError
        If the table cannot be written.
    """

    def __init__(self, folder: Path, network: keras.Model, history: Sequence[Row]) -> None:
        self._path = folder / "log.csv"
        self._rows = list(history)
        # Not handed to `fit`, which runs an epoch at a time and would begin a file for each.
        self._events = keras.callbacks.TensorBoard(str(folder / "tensorboard"), write_graph=False)
        self._events.set_model(network)
        if self._rows:  # a kill between checkpoint and log leaves the log an epoch short
            self._write_table()

    def write(self, row: Row) -> None:
        """Add an epoch."""
        self._rows.append(row)
        self._write_table()
        known = {name: value for name, value in row.items() if value is not None}
        epoch = int(known.pop("epoch"))
        logs = {name.replace("validation_", "val_"): value for name, value in known.items()}
        self._events.on_epoch_end(epoch, logs)

    def close(self) -> None:
        """Close the file of events."""
        self._events.on_train_end()

    def _write_table(self) -> None:
        columns = list(dict.fromkeys(name for row in self._rows for name in row))
        text = io.StringIO()
        table = csv.DictWriter(text, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(self._rows)
        write_text(self._path, text.getvalue())


# The training loop: Keras' `fit` an epoch at a time, each validated, logged and kept.

LAST = "last.npz"


class Watcher(Protocol):
    """Is told how a training goes."""

    def on_step(self, epoch: int, step: int, steps: int, figures: Mapping[str, float]) -> None:
        """Hear of a step; `epoch` and `step` count from 1, figures are means of the epoch."""

    def on_epoch(self, row: Row) -> None:
        """Hear of an epoch, with the figures that the log gets."""


@dataclass(frozen=True)
class Trained:
    """What a training ended with.

    Parameters
    ----------
    weights : dict of ndarray
        Of the model, by variable path; averaged where the recipe averages.
    progress : Progress
        Epochs done and their figures.
    ended : str
        ``finished``, ``interrupted``, or where the loss became no number.
    """

    weights: Arrays
    progress: Progress
    ended: str


class TrainingLoop:
    """A compiled network, what it learns from, and the folder that keeps its state.

    Parameters are those of `train_network`; the network is compiled.
    """

    def __init__(
        self,
        recipe: Recipe,
        network: keras.Model,
        train: Sequence[Sample],
        validation: Sequence[Sample],
        folder: Path,
        watcher: Watcher,
        key: str,
    ) -> None:
        self.recipe, self.network, self.train = recipe, network, train
        self.folder, self.watcher, self.key = folder, watcher, key
        self.tiles = (
            FixedTiles(validation, recipe.data.crop, recipe.training.batch) if validation else None
        )
        self.progress = Progress()
        self.weights: Arrays = {}  # of the last epoch that ended, averaged

    def run(self, resume: bool) -> Trained:
        """Run the epochs that are left; see `train_network`."""
        if resume and (self.folder / LAST).is_file():
            self.progress = load_checkpoint(self.folder / LAST, self.network, self.key)
            self.weights = self._average()
        ended = "finished"
        log = TrainingLog(self.folder, self.network, self.progress.history)
        try:
            while self.progress.epochs < self.recipe.training.epochs:
                row = self._run_epoch()
                log.write(row)
                self.watcher.on_epoch(row)
        except KeyboardInterrupt:
            ended = "interrupted"
            self.weights = self.weights or read_variables(self.network)
        except _DivergedError as error:
            ended = str(error)
            if not self.weights:
                hint = "lower the rate (--set optimizer.rate=) or raise optimizer.warmup_steps"
                raise MudrockError(f"{ended}, and no epoch had ended", hint) from None
        finally:
            log.close()
        return Trained(self.weights, self.progress, ended)

    def _run_epoch(self) -> Row:
        """Fit one epoch, validate its averaged weights, keep everything."""
        progress, network = self.progress, self.network
        began = time.monotonic()
        epoch = progress.epochs
        crops = TrainingCrops(self.train, self.recipe, epoch)
        observer = _Observer(epoch + 1, len(crops), self.watcher)
        network.fit(
            crops,
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,  # Keras' own order of batches would not outlive a restart
            verbose=0,
            callbacks=[observer],
        )
        averaged = read_variables(network)  # `fit` ends with the averages in the network
        for variable in network.trainable_variables:  # whose arrays JAX shares with the optimiser
            variable.assign(averaged[variable.path])
        row = {"epoch": epoch + 1, "rate": observer.rate, **observer.figures}
        if self.tiles is not None:
            found = network.evaluate(self.tiles, verbose=0, return_dict=True)
            row |= {f"validation_{name}": float(value) for name, value in found.items()}
        observer.restore()
        row["seconds"] = time.monotonic() - began
        row["waited"] = crops.waited
        plain: Row = {name: value if math.isfinite(value) else None for name, value in row.items()}
        self._keep(plain, averaged)
        return plain

    def _keep(self, row: Row, averaged: Arrays) -> None:
        """Write the checkpoint; only then does the epoch count."""
        before = self.progress
        after = Progress(
            epochs=before.epochs + 1,
            history=[*before.history, row],
            seconds=before.seconds + (row["seconds"] or 0.0),
        )
        save_checkpoint(self.folder / LAST, self.network, after, self.key)
        self.progress, self.weights = after, averaged

    def _average(self) -> Arrays:
        """Return the averaged weights of a network that goes on with its own."""
        own = [to_array(variable) for variable in self.network.trainable_variables]
        self.network.optimizer.finalize_variable_values(self.network.trainable_variables)
        averaged = read_variables(self.network)
        for variable, value in zip(self.network.trainable_variables, own, strict=True):
            variable.assign(value)
        return averaged


class _DivergedError(Exception):
    """The loss is no number; says at which step."""


class _Observer(keras.callbacks.Callback):  # type: ignore[misc]
    """Watches one epoch: passes the figures on, stops at a loss that is no number.

    Keeps the network's own weights, which `fit` overwrites with their averages at its end.
    """

    def __init__(self, epoch: int, steps: int, watcher: Watcher) -> None:
        super().__init__()
        self.rate = 0.0
        self.figures: dict[str, float] = {}
        self._epoch, self._steps, self._watcher = epoch, steps, watcher
        self._own: list[npt.NDArray[Any]] = []

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Pass a step's figures on."""
        figures = {name: float(value) for name, value in (logs or {}).items()}
        if not math.isfinite(figures["loss"]):
            raise _DivergedError(
                f"the loss became {figures['loss']} in epoch {self._epoch}, step {batch + 1}"
            )
        self._watcher.on_step(self._epoch, batch + 1, self._steps, figures)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Take the epoch's figures, and a copy of the weights."""
        self.figures = {name: float(value) for name, value in (logs or {}).items()}
        self.rate = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))
        weights = self.model.trainable_variables
        self._own = [to_array(variable) for variable in weights]

    def restore(self) -> None:
        """Give the network its own weights back."""
        for variable, value in zip(self.model.trainable_variables, self._own, strict=True):
            variable.assign(value)


# Train a network by its recipe, from samples in memory to weights.


def count_epochs(recipe: Recipe) -> int:
    """Return the epochs of a training; a last layer that is solved has none."""
    return 0 if recipe.training.last_layer else recipe.training.epochs


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
    """Train a network until the epochs are over, or somebody stops it.

    Parameters
    ----------
    recipe : Recipe
        From `complete_recipe`.
    train, validation : sequence of Sample
        What it learns from, and what its epochs are judged on (may be empty).
    folder : Path
        Gets the checkpoints and the logs.
    start : callable
        Gives a new network its first weights, also of a training that goes on.
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
        freeze_blocks(network, recipe.training.frozen_blocks)
        add_weight_decay(network, recipe.loss.weight_decay)
        pull_to_start(network, recipe.loss.start_pull)
        if recipe.training.keep_statistics:
            keep_statistics(network)
        network.compile(
            optimizer=make_optimizer(recipe),
            loss=PhaseLoss(recipe.loss),
            metrics=[PhaseScores()],
            jit_compile=keras.backend.backend() == "jax",
        )
        train, validation = (normalise_samples(part, recipe.data) for part in (train, validation))
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
