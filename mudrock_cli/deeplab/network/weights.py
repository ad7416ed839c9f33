"""The numbers of a network: to and from a file of named arrays, by the names of its variables."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.named_arrays import read_named_arrays
from mudrock_cli.image.placement import placing

if TYPE_CHECKING:
    import keras

Arrays = dict[str, npt.NDArray[Any]]

_HALF_LIMIT = 60_000.0  # float16 ends at 65504


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
        small = value.ndim > 1 and float(np.abs(value).max(initial=0)) < _HALF_LIMIT
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
    with placing(path, "make room there") as part, part.open("wb") as file:
        write(file, allow_pickle=False, **arrays)


def _check_finite(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    for name, value in arrays.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise MudrockError(f"{path}: {name} holds a number that is not finite")
