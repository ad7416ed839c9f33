"""The backend of Keras: started without what it says of itself, spread over several GPUs."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from mudrock_cli.errors import UsageError


def start_backend() -> str:
    """Import Keras with its backend, and return the backend's name.

    TensorFlow writes a page of notices past Python, straight to the process's stderr, before any
    setting can reach it. They are held back; if the start fails they are shown.

    Raises
    ------
    UsageError
        If ``KERAS_BACKEND`` names no backend, or one that is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            import keras

            keras.ops.zeros(1)  # the device is started by the first operation
        except (ImportError, ValueError) as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            wanted = os.environ.get("KERAS_BACKEND", "tensorflow")
            raise UsageError(
                f"the backend {wanted} cannot be started ({lines[0]})",
                "KERAS_BACKEND is tensorflow, jax or torch, and must be installed",
            ) from error
        except BaseException:
            held.seek(0)
            os.write(shown, held.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)
    return str(keras.backend.backend())


@contextlib.contextmanager
def spread_over_devices() -> Iterator[int]:
    """Build a network so that `fit` divides each batch among all GPUs; yields their number.

    TensorFlow mirrors the variables (``tf.distribute``), JAX shards the batch
    (``keras.distribution``). With one device, none, or PyTorch, nothing changes.
    """
    import keras

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
