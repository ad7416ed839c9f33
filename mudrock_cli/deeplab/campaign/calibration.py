"""Probabilities that mean what they say: one temperature, fitted on micrographs held out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.campaign.judging import NetworkEngine
from mudrock_cli.deeplab.data.crops import FixedTiles
from mudrock_cli.deeplab.data.dataset import Sample
from mudrock_cli.deeplab.inference.adaptation import adapt_engine
from mudrock_cli.deeplab.network.statistics import normalising_by
from mudrock_cli.deeplab.recipes.recipe import Recipe

Logits = npt.NDArray[np.float64]
Labels = npt.NDArray[np.intp]

_BINS = 15
_MOST_PIXELS = 400_000
_LIMITS = (0.2, 5.0)  # beyond, a network knows nothing, and 16-bit inference less


@dataclass(frozen=True)
class Calibration:
    """A temperature and what it is worth.

    Parameters
    ----------
    temperature : float
        Divides the logits.
    error_before, error_after : float
        Expected calibration error on the pixels it was fitted on, without and with it.
    pixels : int
        How many these were.
    """

    temperature: float
    error_before: float
    error_after: float
    pixels: int


def gather_logits(
    network: keras.Model, samples: Sequence[Sample], recipe: Recipe
) -> tuple[Logits, Labels]:
    """Return logits (n, 3) and labels (n,) of random labelled pixels, the same number per sample.

    Parameters
    ----------
    network : keras.Model
        From `build_network`, with weights.
    samples : sequence of Sample
        Of parents that the network was not trained on.
    recipe : Recipe
        Its seed chooses the pixels; the network is set to each sample where it says so.
    """
    rng = np.random.default_rng([recipe.training.seed, 2])
    share = _MOST_PIXELS // max(1, len(samples))
    engine = NetworkEngine(network)
    parts = []
    for sample in samples:
        adapted = adapt_engine(engine, sample.micrograph(recipe.data.nm_per_pixel), recipe)
        with normalising_by(network, adapted.statistics):
            parts.append(_gather(network, sample, share, rng))
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def calibrate(logits: Logits, labels: Labels) -> Calibration:
    """Find the temperature under which the labels are likeliest.

    Parameters
    ----------
    logits : ndarray, shape (n, 3)
        Of held-out pixels.
    labels : ndarray of int, shape (n,)
        0, 1, 2.

    References
    ----------
    Guo, C., Pleiss, G., Sun, Y., Weinberger, K. Q. (2017). On calibration of modern neural
    networks. ICML, arXiv:1706.04599.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(logits / np.exp(log_temperature), labels)

    bounds = tuple(np.log(_LIMITS))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    temperature = float(np.exp(found.x))
    return Calibration(
        temperature=temperature,
        error_before=expected_calibration_error(logits, labels),
        error_after=expected_calibration_error(logits / temperature, labels),
        pixels=len(labels),
    )


def negative_log_likelihood(logits: Logits, labels: Labels) -> float:
    """Return the mean of -log p(label)."""
    high = logits.max(axis=1, keepdims=True)
    normaliser = np.log(np.exp(logits - high).sum(axis=1)) + high[:, 0]
    return float(np.mean(normaliser - logits[np.arange(len(labels)), labels]))


def expected_calibration_error(logits: Logits, labels: Labels, bins: int = _BINS) -> float:
    """Return the mean distance between confidence and accuracy, over bins of confidence.

    Parameters
    ----------
    logits : ndarray, shape (n, 3)
    labels : ndarray of int, shape (n,)
    bins : int
        Of equal width between 0 and 1 (Guo et al. 2017, equation 3).
    """
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    confidence = shares.max(axis=1) / shares.sum(axis=1)
    right = logits.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def _gather(
    network: keras.Model, sample: Sample, most: int, rng: np.random.Generator
) -> tuple[Logits, Labels]:
    height, width = network.input_shape[1:3]
    tiles = FixedTiles([sample], (height, width), 1)
    share = min(1.0, most / max(1, int((sample.labels < 3).sum())))
    found = list(_draw_pixels(network, tiles, share, rng))
    return np.concatenate([part[0] for part in found]), np.concatenate([part[1] for part in found])


def _draw_pixels(
    network: keras.Model, tiles: FixedTiles, share: float, rng: np.random.Generator
) -> Iterator[tuple[Logits, Labels]]:
    for step in range(len(tiles)):
        grey, labels = tiles[step]
        chosen = (labels < 3) & (rng.random(labels.shape) < share)
        logits = network.predict_on_batch(grey)
        yield np.asarray(logits[chosen], float), labels[chosen].astype(np.intp)
