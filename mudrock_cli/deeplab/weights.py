"""The numbers of a network, from files that somebody else may have written; Keras' backends."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mudrock_cli.errors import MudrockError, UsageError, reading
from mudrock_cli.files import atomic_write, read_named_arrays

if TYPE_CHECKING:
    import keras


Arrays = dict[str, npt.NDArray[Any]]

HALF_LIMIT = 60_000.0  # float16 ends at 65504


def save_weights(network: "keras.Model", path: Path) -> None:
    """Write the weights of a network, kernels rounded to 16 bit.

    Kernels are float16; vectors (biases, batch-norm scales and statistics), whose small values
    16 bit would lose, stay float32.

    Parameters
    ----------
    network : keras.Model
        Any network; weights are named by their variables' paths.
    path : Path
        A ``.npz``, moved into its place when it is whole.

    Raises
    ------
    MudrockError
        If a weight is not finite, or the file cannot be written.
    """
    arrays: Arrays = {}
    for name, value in read_variables(network).items():
        small = value.ndim > 1 and float(np.abs(value).max(initial=0)) < HALF_LIMIT
        arrays[name] = value.astype(np.float16 if small else np.float32)
    write_arrays(path, arrays, compressed=True)


def load_weights(network: "keras.Model", path: Path) -> None:
    """Give a network the weights in a file that `save_weights` wrote.

    Parameters
    ----------
    network : keras.Model
        Built from the recipe that the weights were trained by, for any tile size.
    path : Path
        The ``.npz``.

    Raises
    ------
    MudrockError
        If the file is damaged, names other weights or shapes than the network has, or holds a
        number that is not finite.
    """
    arrays = read_named_arrays(path)
    wanted = {variable.path: tuple(variable.shape) for variable in network.weights}
    odd = sorted(set(wanted) ^ set(arrays))
    if odd:
        whose = "the network has no" if odd[0] in arrays else "it lacks"
        raise MudrockError(
            f"{path}: not the weights of this network, {whose} {odd[0]}",
            "recipe.toml and weights.npz of a model belong together",
        )
    for name, shape in wanted.items():
        if arrays[name].shape != shape:
            raise MudrockError(
                f"{path}: {name} has shape {arrays[name].shape}, the network's has {shape}",
                "recipe.toml and weights.npz of a model belong together",
            )
    _check_finite(path, arrays)
    for variable in network.weights:
        variable.assign(arrays[variable.path].astype(np.float32))


def read_variables(network: "keras.Model") -> Arrays:
    """Return the weights of a network as float32 arrays by their variables' paths."""
    found = {v.path: to_array(v).astype(np.float32) for v in network.weights}
    if len(found) != len(network.weights):
        raise ValueError("two weights of the network have one path")
    return found


def to_array(variable: "keras.Variable") -> npt.NDArray[Any]:
    """Return a copy of a variable's value, from any backend and device."""
    return np.asarray(variable).copy()


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]], *, compressed: bool) -> None:
    """Write named arrays beside their place and move them into it; a failure leaves what was.

    Raises
    ------
    MudrockError
        If a number is not finite, or the file cannot be written.
    """
    _check_finite(path, arrays)
    write: Any = np.savez_compressed if compressed else np.savez
    with atomic_write(path, "make room there") as part, part.open("wb") as file:
        write(file, allow_pickle=False, **arrays)


def _check_finite(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    for name, value in arrays.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise MudrockError(f"{path}: {name} holds a number that is not finite")


# Numbers from an HDF5 file that somebody else wrote, and nothing that lies outside of it.

_SUSPICIOUS_BYTES = 1 << 28
_SUSPICIOUS_RATIO = 200
_DEEPEST = 64


def read_hdf5(path: Path) -> Arrays:
    """Read all datasets of a file, by their paths.

    Raises
    ------
    MudrockError
        See `check_hdf5`.
    """
    return _open_all(path, keep=True)


def check_hdf5(path: Path) -> None:
    """Refuse a file that is more than a tree of its own numbers.

    HDF5 can point at other files (external links, external and virtual datasets), at itself in
    circles, and promise any size; whoever reads it would follow.

    Raises
    ------
    MudrockError
        If it cannot be read, or holds links, numbers that lie elsewhere, other things than
        numbers, or unfolds beyond reason.
    """
    _open_all(path, keep=False)


def _open_all(path: Path, *, keep: bool) -> Arrays:
    import h5py

    arrays: Arrays = {}
    with reading(path, "give weights as .npz, or as keras.applications publishes them"):
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise MudrockError(f"{path}: cannot be read (not a file)")
        with h5py.File(path, "r") as file:
            datasets = _walk(path, file, "", set())
            promised = sum(int(data.nbytes) for data in datasets.values())
            stored = path.stat().st_size
            if promised > _SUSPICIOUS_BYTES and promised > _SUSPICIOUS_RATIO * stored:
                raise MudrockError(
                    f"{path}: {stored / 1e6:.1f} MB promise {promised / 1e6:.0f} MB; this looks "
                    "like a bomb"
                )
            if keep:
                arrays = {name: np.asarray(data) for name, data in datasets.items()}
    return arrays


def _walk(path: Path, group: Any, prefix: str, seen: set[int]) -> dict[str, Any]:
    """Return the datasets below a group, each looked at before it is opened for reading."""
    import h5py

    found: dict[str, Any] = {}
    if prefix.count("/") > _DEEPEST:
        raise MudrockError(f"{path}: groups nest too deep")
    for name in group:
        place = f"{prefix}{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise MudrockError(f"{path}: {place} is a link, not numbers")
        item = group[name]
        address = int(h5py.h5o.get_info(item.id).addr)
        if address in seen:
            raise MudrockError(f"{path}: {place} leads back into the file")
        seen.add(address)
        if isinstance(item, h5py.Group):
            found |= _walk(path, item, f"{place}/", seen)
        elif not isinstance(item, h5py.Dataset) or item.dtype.kind not in "biuf":
            raise MudrockError(f"{path}: {place} holds no numbers")
        elif item.external or item.is_virtual:
            raise MudrockError(f"{path}: {place} points at another file")
        else:
            found[place] = item
    return found


# The backend of Keras: started without what it says of itself, spread over several GPUs.


def start_backend() -> str:
    """Import Keras with its backend, and return the backend's name.

    TensorFlow writes a page of notices past Python, straight to the process's stderr, before any
    setting can reach it. They are held back; if the start fails they are shown.

    Raises
    ------
    UsageError
        If ``KERAS_BACKEND`` names no backend, or one that is not installed.
    """
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
