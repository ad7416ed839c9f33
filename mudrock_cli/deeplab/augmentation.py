"""What a network learns from: random crops, changed as an SEM might; tiles to validate on."""

import dataclasses
import math
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

import cv2
import keras
import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.dataset import Sample
from mudrock_cli.deeplab.recipe import AugmentRecipe, DataRecipe, Recipe
from mudrock_cli.image.types import Phase

Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def draw_crop(
    grey: Grey,
    labels: Grey,
    size: tuple[int, int],
    recipe: AugmentRecipe,
    rng: np.random.Generator,
    around: tuple[int, int] | None = None,
) -> tuple[Floats, Grey]:
    """Cut a random window, bring it to `size` at a random scale, and change it at random.

    Parameters
    ----------
    grey, labels : ndarray of uint8, shape (H, W)
        A micrograph and its phases (0, 1, 2; 255 where nothing is known).
    size : tuple of int
        Rows and columns of the crop.
    recipe : AugmentRecipe
        Which changes, and how strong.
    rng : numpy.random.Generator
        The only source of chance.
    around : tuple of int, optional
        Row and column of a pixel that the crop is to show.

    Returns
    -------
    grey : ndarray of float32, shape `size`
        0..255.
    labels : ndarray of uint8, shape `size`
        Resampled by nearest neighbour only; 255 outside the micrograph.
    """
    matrix = _draw_matrix(grey.shape, size, recipe, rng, around)
    flags = cv2.WARP_INVERSE_MAP
    rows, columns = size
    crop = cv2.warpAffine(
        grey, matrix, (columns, rows), flags=flags | cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    ).astype(np.float32)
    truth = cv2.warpAffine(
        labels,
        matrix,
        (columns, rows),
        flags=flags | cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=int(Phase.VOID),
    )
    return change_grey(crop, recipe, rng), np.asarray(truth, np.uint8)


def _draw_matrix(
    shape: tuple[int, ...],
    size: tuple[int, int],
    recipe: AugmentRecipe,
    rng: np.random.Generator,
    around: tuple[int, int] | None,
) -> npt.NDArray[np.float64]:
    """Draw the affine map from crop to micrograph coordinates, (x, y) order."""
    scale = np.exp(rng.uniform(*np.log(recipe.scale)))
    turn = np.eye(2)
    if recipe.quarter_turns:
        cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[rng.integers(4)]
        turn = np.array([[cos, -sin], [sin, cos]], float)
    if recipe.flip_horizontal and rng.random() < 0.5:
        turn = turn @ np.diag([-1.0, 1.0])
    if recipe.flip_vertical and rng.random() < 0.5:
        turn = turn @ np.diag([1.0, -1.0])
    linear = turn / scale
    half = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    reach = np.abs(linear @ np.diag(half)).sum(axis=1)
    limits = np.array([shape[1] - 1, shape[0] - 1])
    spare = np.maximum(limits - 2 * reach, 0)  # 0: the crop is wider and the micrograph centred
    if around is None:
        centre = limits / 2 + (rng.random(2) - 0.5) * spare
    else:
        wanted = np.array(around[::-1]) + (rng.random(2) - 0.5) * 2 * reach
        centre = np.clip(wanted, (limits - spare) / 2, (limits + spare) / 2)
    return np.column_stack([linear, centre - linear @ half])


def change_grey(grey: Floats, recipe: AugmentRecipe, rng: np.random.Generator) -> Floats:
    """Change grey levels as detectors, charging and milling do; geometry stays.

    Parameters
    ----------
    grey : ndarray of float32, shape (H, W)
        0..255.
    recipe : AugmentRecipe
        Strengths; a strength of 0 draws nothing from `rng`.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    ndarray of float32, shape (H, W)
        Clipped to 0..255.
    """
    if recipe.gamma:
        exponent = np.float32(np.exp(rng.uniform(-recipe.gamma, recipe.gamma)))
        grey = np.asarray(255 * (grey / 255) ** exponent, np.float32)
    if recipe.contrast or recipe.brightness:
        grey = _gain_and_offset(grey, recipe, rng)
    if recipe.seams and rng.random() < recipe.seams:
        grey = _add_seams(grey, recipe, rng)
    if recipe.shading:
        grey = grey + _shading(grey.shape, recipe.shading, rng)
    if recipe.curtaining:
        grey = grey + _streaks(grey.shape[1], recipe.curtaining, rng)[None, :]
    if recipe.charging:
        grey = grey + _streaks(grey.shape[0], recipe.charging, rng)[:, None]
    if recipe.blur:
        sigma = rng.uniform(0, recipe.blur)
        if sigma > 0.25:  # less than that changes nothing on a pixel grid
            grey = cv2.GaussianBlur(grey, (0, 0), sigma)
    if recipe.noise:
        grey = _add_shot_noise(grey, rng.uniform(0, recipe.noise), rng)
    return np.clip(grey, 0, 255).astype(np.float32)


def _gain_and_offset(grey: Floats, recipe: AugmentRecipe, rng: np.random.Generator) -> Floats:
    gain = 1 + rng.uniform(-recipe.contrast, recipe.contrast)
    offset = rng.uniform(-recipe.brightness, recipe.brightness)
    mean = grey.mean()
    changed: Floats = (grey - mean) * np.float32(gain) + np.float32(mean + offset)
    return changed


def _add_seams(grey: Floats, recipe: AugmentRecipe, rng: np.random.Generator) -> Floats:
    """Step brightness and contrast across one random corner, as between fields of a mosaic."""
    grey = grey.copy()
    row, column = (int(rng.integers(n // 8, n - n // 8)) for n in grey.shape)
    for rows in (slice(row), slice(row, None)):
        for columns in (slice(column), slice(column, None)):
            grey[rows, columns] = _gain_and_offset(grey[rows, columns], recipe, rng)
    return grey


def _shading(shape: tuple[int, ...], strength: float, rng: np.random.Generator) -> Floats:
    tilt = rng.uniform(-strength, strength, 2).astype(np.float32)
    rows = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    plane: Floats = tilt[0] * rows + tilt[1] * columns
    return plane


def _streaks(length: int, strength: float, rng: np.random.Generator) -> Floats:
    """Draw streaks of a random typical width, zero on average."""
    width = np.exp(rng.uniform(0, np.log(12)))
    noise = rng.standard_normal((1, length)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), width)[0]
    spread = float(smooth.std()) or 1.0
    streaks: Floats = (smooth - smooth.mean()) / spread * np.float32(rng.uniform(0, strength))
    return streaks


def _add_shot_noise(grey: Floats, strength: float, rng: np.random.Generator) -> Floats:
    """Add noise whose variance grows with the signal, as electron counting gives."""
    spread = np.float32(strength) * np.sqrt(np.clip(grey, 16, 255) / 255)
    return grey + spread * rng.standard_normal(grey.shape, dtype=np.float32)


# What `fit` is fed with: random crops to learn from, fixed tiles to validate on.

Batch = tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]

_AHEAD = 8  # batches drawn before they are asked for
_AREA_POWER = 0.75  # a source twice as large is drawn 1.7 times as often
_SPARSE = 0.5  # share of labelled pixels below which crops are drawn around one of them


def count_steps(samples: Sequence[Sample], recipe: Recipe) -> int:
    """Return the steps of an epoch: as told, or each tile once, or as many as crops fit."""
    if recipe.training.steps_per_epoch:
        return recipe.training.steps_per_epoch
    crops = float(len(samples))
    if not recipe.data.tile[0]:
        crops = sum(sample.grey.size for sample in samples) / math.prod(recipe.data.crop)
    return max(1, math.ceil(crops / recipe.training.batch))


class TrainingCrops(keras.utils.PyDataset):  # type: ignore[misc]
    """The batches of one epoch, each drawn by a generator of its own.

    A batch depends on the recipe's seed, the epoch and the step alone: so a training that is
    resumed sees what it would have seen. Threads of its own draw the next batches meanwhile, on
    every backend.

    Parameters
    ----------
    samples : sequence of Sample
        Tiles are each taken once in a random order; whole micrographs are drawn by their sources,
        weighted by labelled area to the power 0.75. Crops of a micrograph that is labelled by less
        than half show one of its labelled pixels.
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
        self._weights = None if recipe.data.tile[0] else weigh_samples(samples)
        self._labelled = [_find_sparse(sample.labels) for sample in samples]
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
                self._choose_pixel(index, rng),
            )
            for index in chosen
        ]
        grey, labels = zip(*crops, strict=True)
        return np.stack(grey)[..., None], np.stack(labels)

    def _choose_pixel(self, index: int, rng: np.random.Generator) -> tuple[int, int] | None:
        labelled = self._labelled[index]
        if labelled is None:
            return None
        row, column = divmod(int(rng.choice(labelled)), self._samples[index].labels.shape[1])
        return row, column


def _find_sparse(labels: Grey) -> npt.NDArray[np.intp] | None:
    """Return the labelled pixels of a sample, or None where it has more labels than gaps."""
    labelled = np.flatnonzero(labels != Phase.VOID)
    return labelled if 0 < len(labelled) < _SPARSE * labels.size else None


def weigh_samples(samples: Sequence[Sample]) -> npt.NDArray[np.float64]:
    """Return how likely each sample is drawn: a source by its labelled area to the power 0.75."""
    areas = np.array([np.count_nonzero(sample.labels != Phase.VOID) for sample in samples], float)
    of_source: dict[str, float] = {}
    for sample, area in zip(samples, areas, strict=True):
        of_source[sample.source] = of_source.get(sample.source, 0.0) + area
    totals = np.array([of_source[sample.source] for sample in samples])
    weights: npt.NDArray[np.float64] = areas * totals ** (_AREA_POWER - 1)
    weights /= weights.sum()
    return weights


class FixedTiles(keras.utils.PyDataset):  # type: ignore[misc]
    """Every labelled pixel of some samples once, in tiles of one size; the last batch is filled up.

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
            if (sample.labels[top : top + size[0], left : left + size[1]] != Phase.VOID).any()
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


# The paper's offline part: equal tiles, mirrored copies, copies of changed contrast.

_GAIN, _OFFSET = 0.2, 20.0  # of changed copies, ±; the paper gives no figures


def make_tiles(
    samples: Sequence[Sample], recipe: DataRecipe, share: float, seed: int
) -> list[Sample]:
    """Cut samples into tiles and add their copies; see `cut_tiles` and `add_copies`."""
    return add_copies(cut_tiles(samples, recipe), recipe, share, seed)


def cut_tiles(samples: Sequence[Sample], recipe: DataRecipe) -> list[Sample]:
    """Cut samples into equal tiles, named ``source_tile_a``; leave them whole without a tile size.

    Tiles are spread evenly, so that the last ends on the edge; neighbours overlap where the size
    is no multiple of the tile's. A sample smaller than a tile stays as it is.
    """
    if not recipe.tile[0]:
        return list(samples)
    tiles = []
    for sample in samples:
        for number, (rows, columns) in enumerate(_spread(sample.grey.shape, recipe.tile), start=1):
            tiles.append(
                dataclasses.replace(
                    sample,
                    name=f"{sample.name}_{number}_a",
                    grey=sample.grey[rows, columns],
                    labels=sample.labels[rows, columns],
                    as_given=None,
                    frame=None,
                )
            )
    return tiles


def add_copies(
    tiles: Sequence[Sample], recipe: DataRecipe, share: float, seed: int
) -> list[Sample]:
    """Add what the paper made of its tiles before it trained.

    Parameters
    ----------
    tiles : sequence of Sample
        From `cut_tiles`.
    recipe : DataRecipe
        ``mirrored`` adds copies mirrored left-right (``b``) and upside down (``c``); ``images``
        adds copies of random ones with changed contrast and brightness (``d``, numbered).
    share : float
        Share of ``images`` that these tiles are to reach: of the training part.
    seed : int
        Decides which are copied, and how they are changed.
    """
    if not recipe.tile[0]:
        return list(tiles)
    made = list(tiles)
    if recipe.mirrored:
        for variant, axis in (("b", 1), ("c", 0)):
            made += [_mirror(tile, variant, axis) for tile in tiles]
    rng = np.random.default_rng([seed, 1])
    missing = max(0, round(recipe.images * share) - len(made))
    for number, index in enumerate(rng.integers(len(made), size=missing)):
        made.append(_recolour(made[index], number, rng))
    return made


def _spread(shape: tuple[int, ...], tile: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    starts = []
    for size, side in zip(shape, tile, strict=True):
        count = max(1, -(-size // side))
        starts.append(np.rint(np.linspace(0, max(0, size - side), count)).astype(int))
    for top in starts[0]:
        for left in starts[1]:
            yield slice(int(top), int(top) + tile[0]), slice(int(left), int(left) + tile[1])


def _mirror(tile: Sample, variant: str, axis: int) -> Sample:
    name = f"{tile.name.removesuffix('_a')}_{variant}"
    grey, labels = (
        np.ascontiguousarray(np.flip(array, axis)) for array in (tile.grey, tile.labels)
    )
    return dataclasses.replace(tile, name=name, grey=grey, labels=labels)


def _recolour(tile: Sample, number: int, rng: np.random.Generator) -> Sample:
    gain = 1 + rng.uniform(-_GAIN, _GAIN)
    offset = rng.uniform(-_OFFSET, _OFFSET)
    mean = tile.grey.mean()
    changed = np.clip(np.rint((tile.grey - mean) * gain + mean + offset), 0, 255)
    return dataclasses.replace(tile, name=f"{tile.name}_d{number}", grey=changed.astype(np.uint8))
