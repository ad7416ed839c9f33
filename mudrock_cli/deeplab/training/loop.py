"""The training loop: Keras' `fit` an epoch at a time, each validated, logged and kept."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy.typing as npt
from keras import ops

from mudrock_cli.deeplab.data.crops import FixedTiles, TrainingCrops
from mudrock_cli.deeplab.data.dataset import Sample
from mudrock_cli.deeplab.network.statistics import restate_batch_norm
from mudrock_cli.deeplab.network.weights import (
    Arrays,
    read_variables,
    to_array,
    write_arrays,
)
from mudrock_cli.deeplab.recipes.recipe import Recipe
from mudrock_cli.deeplab.training.checkpoint import Progress, Row, load_checkpoint, save_checkpoint
from mudrock_cli.deeplab.training.log import TrainingLog
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.named_arrays import read_named_arrays

LAST, BEST = "last.npz", "best.npz"


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
        ``finished``, ``out of patience``, ``interrupted``, or where the loss became no number.
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
        """Run the epochs that are left, and choose the weights; see `train_network`."""
        if resume and (self.folder / LAST).is_file():
            self.progress = load_checkpoint(self.folder / LAST, self.network, self.key)
            self.weights = self._average()
        ended = "finished"
        log = TrainingLog(self.folder, self.progress.history)
        try:
            while self.progress.epochs < self.recipe.training.epochs:
                if self._is_out_of_patience():
                    ended = "out of patience"
                    break
                row = self._run_epoch()
                log.write(row)
                self.watcher.on_epoch(row)
        except KeyboardInterrupt:
            ended = "interrupted"
            self.weights = self.weights or read_variables(self.network)
        except _DivergedError as error:
            ended = str(error)
            if not self.weights:
                hint = "lower the rate (--set optimizer.rate=) or set optimizer.clip_norm"
                raise MudrockError(f"{ended}, and no epoch had ended", hint) from None
        return Trained(self._choose_weights(ended), self.progress, ended)

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
        """Write the checkpoints; only then does the epoch count."""
        before = self.progress
        score = row.get("validation_iou_mean")
        better = score is not None and (before.best is None or score > before.best)
        after = Progress(
            epochs=before.epochs + 1,
            best=score if better else before.best,
            best_epoch=before.epochs + 1 if better else before.best_epoch,
            history=[*before.history, row],
            seconds=before.seconds + (row["seconds"] or 0.0),
        )
        if better:
            write_arrays(self.folder / BEST, averaged, compressed=False)
        save_checkpoint(self.folder / LAST, self.network, after, self.key)
        self.progress, self.weights = after, averaged

    def _is_out_of_patience(self) -> bool:
        patience = self.recipe.training.patience
        waited = self.progress.epochs - self.progress.best_epoch
        return bool(patience and self.tiles is not None and waited >= patience)

    def _average(self) -> Arrays:
        """Return the averaged weights of a network that goes on with its own."""
        own = [to_array(variable) for variable in self.network.trainable_variables]
        self.network.optimizer.finalize_variable_values(self.network.trainable_variables)
        averaged = read_variables(self.network)
        for variable, value in zip(self.network.trainable_variables, own, strict=True):
            variable.assign(value)
        return averaged

    def _choose_weights(self, ended: str) -> Arrays:
        chosen = self.weights
        if self.recipe.training.keep == "best" and self.progress.best_epoch:
            chosen = read_named_arrays(self.folder / BEST)
        steps = self.recipe.training.batch_norm_steps
        if not steps or ended == "interrupted":
            return chosen
        for variable in self.network.weights:
            variable.assign(chosen[variable.path])
        crops = TrainingCrops(self.train, self.recipe, self.recipe.training.epochs)
        restate_batch_norm(self.network, (crops[step][0] for step in range(steps)))
        return read_variables(self.network)


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
