"""The first weights of a network: ImageNet's, a file's, a model's, or chance."""

from pathlib import Path

import keras
import numpy as np

from mudrock_cli.deeplab.network.hdf5 import check_hdf5, read_hdf5
from mudrock_cli.deeplab.network.weights import Arrays, read_variables
from mudrock_cli.deeplab.recipes.recipe import NetworkRecipe
from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.image.named_arrays import read_named_arrays

_APPLICATIONS = {
    "resnet101": "ResNet101V2",
    "resnet50": "ResNet50V2",
    "mobilenetv2": "MobileNetV2",
}


def give_start(network: keras.Model, start: str, recipe: NetworkRecipe) -> str:
    """Give a new network its first weights.

    Parameters
    ----------
    network : keras.Model
        From `build_network`.
    start : str
        ``imagenet`` (weights of ``keras.applications``, by name into the encoder), ``scratch``, a
        model folder, or a file: ``.npz`` of named arrays, ``.weights.h5`` of the same network, or
        an ``.h5`` of ``keras.applications``.
    recipe : NetworkRecipe
        What the network was built by.

    Returns
    -------
    str
        What was loaded, for the card.

    Raises
    ------
    UsageError
        If there is no such start.
    MudrockError
        If a file is damaged or has nothing for this network, or ImageNet's cannot be fetched.
    """
    if start == "scratch":
        return "random weights"
    if start == "imagenet":
        found = _fetch_imagenet(recipe)
        return f"ImageNet ({_take(network, found, start)})"
    path = Path(start)
    if path.is_dir():
        arrays = read_named_arrays(path / "weights.npz")
        return f"model {path.name} ({_take(network, arrays, start)})"
    if not path.is_file():
        raise UsageError(
            f"--init {start}: no such file", "imagenet, scratch, a .npz or .h5, or a model folder"
        )
    if path.suffix == ".npz":
        return f"{path.name} ({_take(network, read_named_arrays(path), start)})"
    if path.name.endswith(".weights.h5"):
        return _load_keras_file(network, path)
    if path.suffix in (".h5", ".hdf5"):
        return f"{path.name} ({_take(network, read_hdf5(path), start)})"
    raise UsageError(f"--init {start}: unknown kind of file", "a .npz, .weights.h5 or .h5")


def _fetch_imagenet(recipe: NetworkRecipe) -> Arrays:
    name = _APPLICATIONS.get(recipe.encoder)
    if name is None:
        raise UsageError(
            f"--init imagenet: there are no ImageNet weights for {recipe.architecture}",
            "--init scratch",
        )
    try:
        build = getattr(keras.applications, name)
        model = build(include_top=False, weights="imagenet", input_shape=(224, 224, 3))
    except Exception as error:  # any network trouble; Keras raises a plain Exception
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise MudrockError(
            f"--init imagenet: the weights of {name} cannot be fetched ({reason[0]})",
            "fetch them on another machine and give the file, or --init scratch",
        ) from error
    return read_variables(model)


def _take(network: keras.Model, arrays: Arrays, source: str) -> str:
    """Assign arrays whose names and shapes are the network's; the rest keeps its weights."""
    named = {_plain_name(name): value for name, value in arrays.items()}
    taken = 0
    for variable in network.weights:
        value = named.get(_plain_name(variable.path))
        if value is None or value.size != np.prod(variable.shape):
            continue
        if not np.isfinite(value).all():
            raise MudrockError(f"--init {source}: {variable.path} is not finite")
        variable.assign(value.reshape(variable.shape).astype(np.float32))
        taken += 1
    if not taken:
        raise MudrockError(
            f"--init {source}: holds no weight of this network",
            "arrays are named layer/kernel or layer__kernel; the recipe's encoder must fit",
        )
    return f"{taken} of {len(network.weights)} weights"


def _plain_name(name: str) -> str:
    """Bring the spellings of a weight's name to one: that of Keras 3 variable paths."""
    parts = name.replace("__", "/").removesuffix(":0").split("/")
    return "/".join(parts[-2:]).replace("depthwise_kernel", "kernel")


def _load_keras_file(network: keras.Model, path: Path) -> str:
    check_hdf5(path)
    try:
        network.load_weights(path)
    except Exception as error:  # HDF5 and Keras raise many kinds
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise MudrockError(
            f"{path}: does not fit the recipe's network ({lines[0][:120]})",
            "give the recipe that it was saved with",
        ) from error
    return path.name
