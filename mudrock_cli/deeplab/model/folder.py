"""A trained network as a model folder that is whole or absent."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mudrock_cli.deeplab.model.card import describe_model
from mudrock_cli.deeplab.model.export import compile_for_cpu
from mudrock_cli.deeplab.model.zoo import CARD, COMPILED, TrainedModel, load_model, seal_model
from mudrock_cli.deeplab.network.weights import save_weights
from mudrock_cli.deeplab.recipes.recipe import Recipe
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.bad_input import describe
from mudrock_cli.image.placement import part_path, settle, write_text

if TYPE_CHECKING:
    import keras


def write_model(
    folder: Path,
    recipe: Recipe,
    network: "keras.Model",
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


@contextmanager
def assembling(folder: Path) -> Iterator[Path]:
    """Yield a scratch folder for all files of a model, and move them into `folder` at the end.

    A model that `folder` holds already stays as it is until the new one is complete. Its card
    goes first and the new card comes last, so that no moment shows a card beside the files of
    another model.

    Parameters
    ----------
    folder : Path
        The model folder; other files in it stay.

    Raises
    ------
    MudrockError
        If the folder cannot be written.
    """
    scratch = part_path(folder / "model")
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        yield scratch
        names = sorted((path.name for path in scratch.iterdir()), key=CARD.__eq__)
        for name in (CARD, *COMPILED):
            (folder / name).unlink(missing_ok=True)
        for name in names:
            settle(scratch / name)
            (scratch / name).replace(folder / name)
    except OSError as error:
        raise MudrockError(
            f"{folder}: cannot be written ({describe(error)})", "make room there, then --resume"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
