"""Start the backend of Keras without what it says of itself."""

import os
import sys
import tempfile

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
