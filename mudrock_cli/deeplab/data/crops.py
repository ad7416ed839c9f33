"""What `fit` is fed with: random crops to learn from, fixed tiles to validate on."""

import math
import os
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.data.augment import draw_crop
from mudrock_cli.deeplab.data.dataset import Sample
from mudrock_cli.deeplab.recipes.recipe import Recipe
from mudrock_cli.image.phase import Phase

Batch = tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]

_AHEAD = 8  # batches drawn before they are asked for
_AREA_POWER = 0.75  # a parent twice as large is drawn 1.7 times as often


def count_steps(samples: Sequence[Sample], recipe: Recipe) -> int:
    """Return the steps of an epoch: as told, or each tile once, or as many as crops fit."""
    if recipe.training.steps_per_epoch:
        return recipe.training.steps_per_epoch
    crops = float(len(samples))
    if not recipe.data.tile[0]:
        real = sum(sample.grey.size for sample in samples if not sample.synthetic)
        crops = real / math.prod(recipe.data.crop)
    return max(1, math.ceil(crops / recipe.training.batch))


class TrainingCrops(keras.utils.PyDataset):  # type: ignore[misc]
    """The batches of one epoch, each drawn by a generator of its own.

    A batch depends on the recipe's seed, the epoch and the step alone: so a training that is
    resumed sees what it would have seen. Threads of its own draw the next batches meanwhile, on
    every backend.

    Parameters
    ----------
    samples : sequence of Sample
        Tiles are each taken once in a random order; whole micrographs are drawn by their parents,
        weighted by area to the power 0.75.
    recipe : Recipe
        Crop, augmentation, batch, seed.
    epoch : int
        Counted from 0.

    Attributes
    ----------
    waited : float
        Seconds for which a batch was asked for and not yet drawn: what the input costs a training
        at most.
    """

    def __init__(self, samples: Sequence[Sample], recipe: Recipe, epoch: int) -> None:
        super().__init__(workers=1)
        self._samples = samples
        self._recipe = recipe
        self._epoch = epoch
        self._steps = count_steps(samples, recipe)
        self._weights = None if recipe.data.tile[0] else weigh_samples(samples, recipe)
        self._pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1))
        self._ahead: dict[int, Future[Batch]] = {}
        self._lock = Lock()
        self.waited = 0.0

    def __len__(self) -> int:
        """Return the number of batches."""
        return self._steps

    def __getitem__(self, step: int) -> Batch:
        """Return crops (N, H, W, 1) in 0..255 and their labels (N, H, W)."""
        with self._lock:
            for later in range(step, min(step + _AHEAD, self._steps)):
                if later not in self._ahead:
                    self._ahead[later] = self._pool.submit(self._draw, later)
            batch = self._ahead.pop(step)
        began = time.monotonic()
        drawn = batch.result()
        self.waited += time.monotonic() - began
        return drawn

    def _draw(self, step: int) -> Batch:
        seed = self._recipe.training.seed
        rng = np.random.default_rng([seed, self._epoch, step])
        batch = self._recipe.training.batch
        if self._weights is None:
            order = np.random.default_rng([seed, self._epoch]).permutation(len(self._samples))
            chosen = order[np.arange(step * batch, (step + 1) * batch) % len(order)]
        else:
            chosen = rng.choice(len(self._samples), size=batch, p=self._weights)
        crops = [
            draw_crop(
                self._samples[index].grey,
                self._samples[index].labels,
                self._recipe.data.crop,
                self._recipe.augment,
                rng,
            )
            for index in chosen
        ]
        grey, labels = zip(*crops, strict=True)
        return np.stack(grey)[..., None], np.stack(labels)


def weigh_samples(samples: Sequence[Sample], recipe: Recipe) -> npt.NDArray[np.float64]:
    """Return how likely each sample is drawn: phantoms by their share, a parent's by area."""
    areas = np.array([sample.grey.size for sample in samples], float)
    parents = [sample.parent for sample in samples]
    of_parent = dict.fromkeys(parents, 0.0)
    for name, area in zip(parents, areas, strict=True):
        of_parent[name] += area
    totals = np.array([of_parent[name] for name in parents])
    weights: npt.NDArray[np.float64] = areas * totals ** (_AREA_POWER - 1)
    synthetic = np.array([sample.synthetic for sample in samples])
    share = recipe.data.phantom_share if synthetic.any() else 0.0
    for part, total in ((synthetic, share), (~synthetic, 1 - share)):
        weights[part] *= total / weights[part].sum() if part.any() else 1
    return weights


class FixedTiles(keras.utils.PyDataset):  # type: ignore[misc]
    """Every pixel of some samples once, in tiles of one size; the last batch is filled up.

    Parameters
    ----------
    samples : sequence of Sample
        Whole, at the network's pixel size.
    size : tuple of int
        Rows and columns of a tile: beyond an edge grey is reflected and labels are void.
    batch : int
        Tiles at a time.
    """

    def __init__(self, samples: Sequence[Sample], size: tuple[int, int], batch: int) -> None:
        super().__init__(workers=1)
        self._samples = samples
        self._size = size
        self._batch = batch
        self._places = [
            (index, top, left)
            for index, sample in enumerate(samples)
            for top in range(0, sample.grey.shape[0], size[0])
            for left in range(0, sample.grey.shape[1], size[1])
        ]

    def __len__(self) -> int:
        """Return the number of batches."""
        return math.ceil(len(self._places) / self._batch)

    def __getitem__(self, step: int) -> Batch:
        """Return tiles (N, H, W, 1) in 0..255 and their labels (N, H, W)."""
        shape = (self._batch, *self._size)
        grey = np.zeros(shape, np.float32)
        labels = np.full(shape, Phase.VOID, np.uint8)
        places = self._places[step * self._batch : (step + 1) * self._batch]
        for slot, (index, top, left) in enumerate(places):
            sample = self._samples[index]
            window = np.s_[top : top + self._size[0], left : left + self._size[1]]
            piece: npt.NDArray[Any] = sample.labels[window]
            labels[slot, : piece.shape[0], : piece.shape[1]] = piece
            missing = [(0, full - part) for full, part in zip(self._size, piece.shape, strict=True)]
            grey[slot] = np.pad(sample.grey[window], missing, mode="symmetric")
        return grey[..., None], labels
