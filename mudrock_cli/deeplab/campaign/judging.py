"""How well a model segments micrographs that it was not trained on, as `segment` would."""

from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Self

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from mudrock_cli.deeplab.data.dataset import Sample
from mudrock_cli.deeplab.inference.engine import Engine, Grey, Probabilities
from mudrock_cli.deeplab.inference.opinion import Ask
from mudrock_cli.deeplab.inference.segmenter import segment_bands
from mudrock_cli.deeplab.network.statistics import (
    Statistics,
    find_statistics,
    normalising_by,
    read_statistics,
)
from mudrock_cli.deeplab.recipes.recipe import Recipe
from mudrock_cli.deeplab.training.phase_scores import count_pixels
from mudrock_cli.image.mask import PhaseMask, write_mask


class NetworkEngine:
    """A network in memory as an `Engine`: softmax of its logits over a temperature."""

    def __init__(self, network: keras.Model, temperature: float = 1.0) -> None:
        self.name = "keras"
        self.tile = int(network.input_shape[1])
        self.batch = 1
        self.statistics = read_statistics(network)
        self._own: Statistics | None = None
        self._network = network
        self._temperature = temperature

    def predict(self, tiles: Grey) -> Probabilities:
        """Return the phase probabilities of tiles; see `Engine`."""
        with normalising_by(self._network, self._own):
            logits = self._network.predict_on_batch(tiles[..., None].astype(np.float32))
        shares = ops.softmax(ops.convert_to_tensor(logits / self._temperature), axis=-1)
        return np.asarray(ops.convert_to_numpy(shares), np.float32)

    def look(self, batches: npt.NDArray[np.float32]) -> Statistics:
        """Return the statistics of tiles; see `Engine`."""
        return find_statistics(self._network, batches)

    def adapt(self, statistics: Statistics) -> Self:
        """Return an engine that normalises by other statistics; see `Engine`."""
        adapted = copy(self)
        adapted.statistics = adapted._own = statistics
        return adapted


def count_by_sample(
    engine: Engine,
    samples: Sequence[Sample],
    recipe: Recipe,
    ask: Ask = lambda micrograph: None,
    keep: Path | None = None,
) -> list[npt.NDArray[np.int64]]:
    """Segment samples and count truth (row) against prediction (column) in each.

    Parameters
    ----------
    engine : Engine
        What predicts.
    samples : sequence of Sample
        At the recipe's pixel size.
    recipe : Recipe
        Its ``[inference]`` says how tiles overlap and which views are averaged.
    ask : callable
        Gives another method's opinion of a micrograph, as `segment` would.
    keep : Path, optional
        Folder for the masks, on the pixels of the image files, so that `evaluate` can compare them.

    Returns
    -------
    list of ndarray of int, shape (2, 3, 3)
        Against the labels; and against the labels as they were given, before registration.
    """
    counts = []
    for sample in samples:
        given = sample.labels if sample.as_given is None else sample.as_given
        micrograph = sample.micrograph(recipe.data.nm_per_pixel)
        opinion = ask(micrograph)
        bands = segment_bands(micrograph, engine, recipe, opinion=opinion)
        phases = np.concatenate([band.phases for band in bands])
        counts.append(np.stack([count_pixels(truth, phases) for truth in (sample.labels, given)]))
        if keep and sample.frame:
            path = keep / f"{sample.name}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            whole, size = sample.frame.restore(phases), sample.frame.pixel_size
            write_mask(path, PhaseMask.from_array(sample.name, whole, size, {"method": "held out"}))
    return counts
