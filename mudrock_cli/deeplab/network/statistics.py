"""Batch statistics: what a network's layers normalise by, from training or from other images."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.network.weights import to_array

if TYPE_CHECKING:
    import keras

Statistics = dict[str, npt.NDArray[np.float32]]
"""Mean and variance of every channel that a batch norm normalises, by the paths of its variables
(see `name_mean` and `name_variance`)."""


def name_mean(layer: str) -> str:
    """Return the path of the means that a batch norm subtracts."""
    return f"{layer}/moving_mean"


def name_variance(layer: str) -> str:
    """Return the path of the variances that a batch norm divides by the roots of."""
    return f"{layer}/moving_variance"


def read_statistics(network: "keras.Model") -> Statistics:
    """Return what a network normalises by."""
    return {
        variable.path: np.array(to_array(variable), np.float32)
        for layer in _find_norms(network)
        for variable in (layer.moving_mean, layer.moving_variance)
    }


def write_statistics(network: "keras.Model", statistics: Statistics) -> None:
    """Let a network normalise by other statistics; see `read_statistics`."""
    for layer in _find_norms(network):
        for variable in (layer.moving_mean, layer.moving_variance):
            variable.assign(statistics[variable.path])


@contextmanager
def normalising_by(network: "keras.Model", statistics: Statistics | None) -> Iterator[None]:
    """Let a network normalise by other statistics for a while, if there are any."""
    if statistics is None:
        yield
        return
    before = read_statistics(network)
    write_statistics(network, statistics)
    try:
        yield
    finally:
        write_statistics(network, before)


def find_statistics(
    network: "keras.Model", batches: Iterable[npt.NDArray[np.float32]]
) -> Statistics:
    """Return the statistics of some images; those of the network stay as they are.

    Parameters
    ----------
    network : keras.Model
        Trained.
    batches : iterable of ndarray of float32, shape (N, H, W, 1)
        Of the images. Each is normalised by its own statistics, as in training.
    """
    import keras

    before = read_statistics(network)
    dropouts = [layer for layer in network.layers if isinstance(layer, keras.layers.Dropout)]
    rates = [layer.rate for layer in dropouts]
    try:
        for layer in dropouts:
            layer.rate = 0.0
        restate_batch_norm(network, batches)
        return read_statistics(network)
    finally:
        write_statistics(network, before)
        for layer, rate in zip(dropouts, rates, strict=True):
            layer.rate = rate


def restate_batch_norm(network: "keras.Model", batches: Iterable[npt.NDArray[np.float32]]) -> None:
    """Replace the moving statistics of a network by plain means over some batches.

    Averaged weights (or a slow decay) leave moving statistics of weights that are no more
    (Izmailov et al. 2018, arXiv:1803.05407, section 3.2).

    Parameters
    ----------
    network : keras.Model
        With its final weights.
    batches : iterable of ndarray of float32, shape (N, H, W, 1)
        Training crops.
    """
    layers = _find_norms(network)
    momenta = [layer.momentum for layer in layers]
    for seen, batch in enumerate(batches):
        for layer in layers:
            layer.momentum = seen / (seen + 1)  # the mean of what was seen, 0 at first
        network(batch, training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def _find_norms(network: "keras.Model") -> "list[keras.layers.BatchNormalization]":
    import keras

    kind = keras.layers.BatchNormalization
    return [layer for layer in network.layers if isinstance(layer, kind)]
