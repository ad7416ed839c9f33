"""Several GPUs at once, where a backend and a machine have them."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras


@contextlib.contextmanager
def spread_over_devices() -> Iterator[int]:
    """Build a network so that `fit` divides each batch among all GPUs; yields their number.

    TensorFlow mirrors the variables (``tf.distribute``), JAX shards the batch
    (``keras.distribution``). With one device, none, or PyTorch, nothing changes.
    """
    backend = keras.backend.backend()
    devices: list[Any] = []
    scope: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
    if backend == "tensorflow":
        import tensorflow

        devices = tensorflow.config.list_logical_devices("GPU")
        if len(devices) > 1:
            names = [device.name for device in devices]
            scope = tensorflow.distribute.MirroredStrategy(names).scope()
    elif backend == "jax":
        with contextlib.suppress(RuntimeError):  # JAX without a GPU platform
            devices = keras.distribution.list_devices("gpu")
        if len(devices) > 1:
            scope = keras.distribution.DataParallel(devices=devices).scope()
    with scope:
        yield max(1, len(devices))
