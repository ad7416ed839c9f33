"""Write a trained network as a model folder: recipe, weights, compiled network, card."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from mudrock_cli.deeplab.card import describe_model
from mudrock_cli.deeplab.export import compile_for_cpu
from mudrock_cli.deeplab.files import assembling, write_text
from mudrock_cli.deeplab.network import save_weights
from mudrock_cli.deeplab.recipe import Recipe
from mudrock_cli.deeplab.zoo import TrainedModel, load_model, seal_model


def write_model(
    folder: Path,
    recipe: Recipe,
    network: keras.Model,
    facts: Mapping[str, Any],
    temperature: float = 1.0,
) -> TrainedModel:
    """Write a model folder that `segment --model` takes.

    Parameters
    ----------
    folder : Path
        Made where it is missing; its name is the model's.
    recipe : Recipe
        What the network was built and trained by.
    network : keras.Model
        From `build_network` by that recipe, for any tile size, with its weights.
    facts : mapping
        What the card tells, see `describe_model`; JSON-able.
    temperature : float
        Divides the logits; goes into the compiled network.

    Raises
    ------
    MudrockError
        If a weight is not finite, the folder cannot be written, or the network compiled for CPUs
        is not the network.
    """
    facts = {**facts, "temperature": temperature}
    with assembling(folder) as scratch:
        write_text(scratch / "recipe.toml", recipe.to_toml())
        save_weights(network, scratch / "weights.npz")
        compile_for_cpu(scratch, temperature)
        write_text(scratch / "card.md", describe_model(folder.name, recipe, facts))
        seal_model(scratch, facts)
    return load_model(str(folder))
