"""All that a training is at the end of an epoch, in one file: weights, optimiser, history."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mudrock_cli.deeplab.network.weights import Arrays, to_array, write_arrays
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.named_arrays import read_named_arrays

Row = dict[str, float | None]


@dataclass
class Progress:
    """How far a training is.

    Parameters
    ----------
    epochs : int
        Finished.
    best : float or None
        Highest mean IoU of the validation parents so far.
    best_epoch : int
        The epoch that reached it, counted from 1; 0 before there is one.
    history : list of dict
        The figures of each epoch.
    seconds : float
        Spent on the epochs.
    """

    epochs: int = 0
    best: float | None = None
    best_epoch: int = 0
    history: list[Row] = field(default_factory=list)
    seconds: float = 0.0


def save_checkpoint(path: Path, network: keras.Model, progress: Progress, key: str) -> None:
    """Write the state of a training; where that fails, what was there before stays.

    Parameters
    ----------
    path : Path
        A ``.npz``.
    network : keras.Model
        Compiled, its optimiser built.
    progress : Progress
        Kept with it.
    key : str
        Says what is trained on what; a checkpoint is only taken up for the same.

    Raises
    ------
    MudrockError
        If the file cannot be written (a full disk), or a number is not finite.
    """
    arrays: Arrays = {name: to_array(variable) for name, variable in _state(network)}
    meta = json.dumps({"key": key, "progress": asdict(progress)})
    arrays["meta"] = np.frombuffer(meta.encode(), np.uint8)
    write_arrays(path, arrays, compressed=False)


def load_checkpoint(path: Path, network: keras.Model, key: str) -> Progress:
    """Give a compiled network the state that `save_checkpoint` wrote.

    Raises
    ------
    MudrockError
        If the file is damaged, or belongs to another training.
    """
    arrays = read_named_arrays(path)
    try:
        meta: Mapping[str, Any] = json.loads(bytes(arrays.pop("meta").tobytes()))
        progress = Progress(**meta["progress"])
    except (KeyError, TypeError, ValueError) as error:
        raise MudrockError(f"{path}: no checkpoint of a training") from error
    if meta.get("key") != key:
        raise MudrockError(
            f"{path}: the checkpoint of another training: recipe, data or start differ",
            "resume with the same data, or train into another folder",
        )
    network.optimizer.build(network.trainable_variables)
    state = dict(_state(network))
    odd = set(state) ^ set(arrays)
    if odd:
        raise MudrockError(f"{path}: not a checkpoint of this network ({sorted(odd)[0]})")
    for name, variable in state.items():
        if tuple(variable.shape) != arrays[name].shape:
            raise MudrockError(f"{path}: {name} has another shape in this network")
        variable.assign(arrays[name])
    return progress


def _state(network: keras.Model) -> Iterator[tuple[str, keras.Variable]]:
    """Yield names and variables: weights, seeds of dropout, the optimiser's own."""
    weights = {id(variable) for variable in network.weights}
    for variable in network.weights:
        yield f"weight:{variable.path}", variable
    seeds = [variable for variable in network.variables if id(variable) not in weights]
    for index, variable in enumerate(seeds):
        yield f"seed:{index}", variable
    for index, variable in enumerate(network.optimizer.variables):
        yield f"optimizer:{index}:{variable.name}", variable
