"""Probabilities that mean what they say: one temperature, fitted on micrographs held out."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.augmentation import FixedTiles
from mudrock_cli.deeplab.dataset import Sample, normalise_samples
from mudrock_cli.deeplab.recipe import Recipe
from mudrock_cli.image.types import Phase

Logits = npt.NDArray[np.floating]
Labels = npt.NDArray[np.integer]

_BINS = 15
MOST_PIXELS = 400_000
"""Of a training's held-out micrographs: so many fit a temperature to three digits."""
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


def calibrate(logits: Logits, labels: Labels) -> Calibration:
    """Find the temperature under which the labels are likeliest.

    Parameters
    ----------
    logits : ndarray of float, shape (n, 3)
        Of held-out pixels.
    labels : ndarray of int, shape (n,)
        0, 1, 2.

    References
    ----------
    Guo, C., Pleiss, G., Sun, Y., Weinberger, K. Q. (2017). On calibration of modern neural
    networks. ICML, arXiv:1706.04599.
    """
    from scipy.optimize import minimize_scalar

    logits = logits.astype(float)

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
    from scipy.special import log_softmax

    return -float(log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def expected_calibration_error(logits: Logits, labels: Labels, bins: int = _BINS) -> float:
    """Return the mean distance between confidence and accuracy, over bins of confidence.

    Parameters
    ----------
    logits : ndarray of float, shape (n, 3)
    labels : ndarray of int, shape (n,)
    bins : int
        Of equal width between 0 and 1 (Guo et al. 2017, equation 3).
    """
    from scipy.special import softmax

    confidence = softmax(logits, axis=1).max(axis=1)
    return compare_confidence(confidence, logits.argmax(axis=1) == labels, bins)


def compare_confidence(
    confidence: npt.NDArray[np.floating], right: npt.NDArray[np.bool_], bins: int = _BINS
) -> float:
    """Return the expected calibration error of predictions, confidence 0..1, right or not."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def gather_logits(
    network: keras.Model,
    samples: Sequence[Sample],
    recipe: Recipe,
    most: int = MOST_PIXELS,
) -> tuple[Logits, Labels]:
    """Return logits (n, 3) and labels (n,) of random labelled pixels, the same number per sample.

    Parameters
    ----------
    network : keras.Model
        From `build_network`, with weights.
    samples : sequence of Sample
        Of micrographs that the network was not trained on; labels may be any numbers below VOID.
    recipe : Recipe
        Its seed chooses the pixels.
    most : int
        About how many pixels at most.
    """
    rng = np.random.default_rng([recipe.training.seed, 2])
    each = most // max(1, len(samples))
    logits, labels = [], []
    for sample in normalise_samples(samples, recipe.data):
        tiles = FixedTiles([sample], network.input_shape[1:3], 1)
        share = min(1.0, each / max(1, int((sample.labels != Phase.VOID).sum())))
        for step in range(len(tiles)):
            grey, truth = tiles[step]
            chosen = (truth != Phase.VOID) & (rng.random(truth.shape) < share)
            logits.append(np.asarray(network.predict_on_batch(grey)[chosen], np.float32))
            labels.append(truth[chosen])
    return np.concatenate(logits), np.concatenate(labels)
