"""The last layer alone, solved at once: strokes of a brush teach a network in seconds.

The scores of the phases are linear in the features that the network computes, so the weights that
make the labels likeliest are the one minimum of a convex function: no rate, no epochs. What the
network sees stays as it is; what it calls clay, silt and pore is learned anew.
"""

import time
from collections.abc import Sequence

import keras
import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.calibration import gather_logits
from mudrock_cli.deeplab.dataset import Sample
from mudrock_cli.deeplab.encoders import resize_like
from mudrock_cli.deeplab.recipe import Recipe
from mudrock_cli.deeplab.training import Progress, Trained
from mudrock_cli.deeplab.weights import read_variables
from mudrock_cli.image.labels import list_allowed

Floats = npt.NDArray[np.floating]

_LAYER = "phase_scores"
_MOST_PIXELS = 60_000
_STEPS = 100  # of L-BFGS; a few dozen do
_BIAS_SHARE = 0.01  # of the pull: three numbers need little of it


def solve_last_layer(network: keras.Model, samples: Sequence[Sample], recipe: Recipe) -> Trained:
    """Give the last layer of a network the weights that make labels likeliest.

    Parameters
    ----------
    network : keras.Model
        From `build_network`, with the weights of a start; its last layer is changed.
    samples : sequence of Sample
        Labelled, at the recipe's pixel size; void where nothing is known.
    recipe : Recipe
        ``loss.start_pull`` is the strength of the pull to the weights of the start, and
        ``loss.class_weights`` weigh the phases.
    """
    began = time.monotonic()
    layer = network.get_layer(_LAYER)
    found, labels = gather_logits(with_features(network), samples, recipe, _MOST_PIXELS)
    kernel, bias = fit_change(
        found[:, :-3], found[:, -3:], labels, recipe.loss.start_pull, recipe.loss.class_weights
    )
    before = layer.get_weights()
    layer.set_weights([before[0] + kernel.reshape(before[0].shape), before[1] + bias])
    seconds = time.monotonic() - began
    return Trained(read_variables(network), Progress(seconds=seconds), "finished")


def with_features(network: keras.Model) -> keras.Model:
    """Return the network with its last features before the logits, pixel by pixel.

    Scores of fewer pixels are interpolated, which is linear too: so are the features.
    """
    last = network.get_layer(_LAYER).input
    features = resize_like(last, network.output, name="last_features")
    return keras.Model(network.input, keras.layers.Concatenate()([features, network.output]))


def fit_change(
    features: Floats,
    logits: Floats,
    labels: npt.NDArray[np.integer],
    pull: float,
    class_weights: Sequence[float] = (1.0, 1.0, 1.0),
) -> tuple[Floats, Floats]:
    """Fit by how much the scores' weights change: logistic regression beside what is known.

    Parameters
    ----------
    features : ndarray of float, shape (n, C)
        What the last layer is given, at labelled pixels.
    logits : ndarray of float, shape (n, 3)
        What the network says of them.
    labels : ndarray of int, shape (n,)
        Phases 0, 1, 2, or one of two phases as `encode_set` calls it: which of them it is, the
        network may go on saying. One with four times as many pixels counts twice as much: strokes
        do not tell how frequent a phase is, whole tiles do. The weights of a phase that no label
        allows stay.
    pull : float
        L2 penalty on the change, of features brought to a root mean square of 1, beside the mean
        cross-entropy.
    class_weights : sequence of float
        Of clay, silt, pore, besides.

    Returns
    -------
    kernel : ndarray of float, shape (C, 3)
    bias : ndarray of float, shape (3,)
        To be added to those of the layer.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax, softmax

    scale = np.sqrt(np.square(features, dtype=np.float64).mean(axis=0)) + 1e-6
    given = np.column_stack([features / scale, np.ones(len(features))]).astype(np.float32)
    counts = np.bincount(labels, minlength=256)
    table = list_allowed()
    weights = (table * class_weights).sum(axis=1) / np.maximum(table.sum(axis=1), 1)
    weight = (weights / np.sqrt(np.maximum(counts, 1)))[labels]
    weight /= weight.sum()
    truth = softmax(np.where(table[labels], logits, -np.inf), axis=1)  # one-hot for a single phase
    learned = table[counts > 0].any(axis=0)
    penalty = np.full((given.shape[1], 1), pull)
    penalty[-1] *= _BIAS_SHARE

    def loss(flat: Floats) -> tuple[float, Floats]:
        change = flat.reshape(-1, 3) * learned
        told = log_softmax(logits + given @ change.astype(np.float32), axis=1)
        value = -float(weight @ (told * truth).sum(axis=1)) + (penalty * change**2).sum() / 2
        slope = given.T @ ((np.exp(told) - truth) * weight[:, None]) + penalty * change
        return value, (slope * learned).ravel()

    start = np.zeros(given.shape[1] * 3)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    change = found.x.reshape(-1, 3)
    return change[:-1] / scale[:, None], change[-1]
