"""Batch-norm statistics, estimated again for weights that were averaged."""

from collections.abc import Iterable

import keras
import numpy as np
import numpy.typing as npt


def restate_batch_norm(network: keras.Model, batches: Iterable[npt.NDArray[np.float32]]) -> None:
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
    layers = [
        layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    momenta = [layer.momentum for layer in layers]
    for seen, batch in enumerate(batches):
        for layer in layers:
            layer.momentum = seen / (seen + 1)  # the mean of what was seen, 0 at first
        network(batch, training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
