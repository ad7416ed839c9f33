"""The models that ship, and a model folder loaded with everything in it checked."""

import hashlib
import json
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mudrock_cli
from mudrock_cli.deeplab.recipes.recipe import Recipe
from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.image.bad_input import describe
from mudrock_cli.image.checksum import hash_file
from mudrock_cli.image.placement import placing
from mudrock_cli.image.texts import read_text

DEFAULT_MODEL = "kumano"
CARD = "card.json"
REQUIRED = ("recipe.toml", "weights.npz")
COMPILED = ("cpu.xml", "cpu.bin")


@dataclass(frozen=True)
class TrainedModel:
    """A model folder, its files checked against the hashes on its card.

    Parameters
    ----------
    name : str
        Name of the folder.
    path : Path
        The folder.
    recipe : Recipe
        What the network was built and trained by.
    card : Mapping
        The facts of ``card.json``: figures, temperature, hashes.
    """

    name: str
    path: Path
    recipe: Recipe
    card: Mapping[str, Any]

    @property
    def nm_per_pixel(self) -> float:
        """Nanometres per pixel at which the network was trained."""
        return self.recipe.data.nm_per_pixel

    @property
    def scale_range(self) -> tuple[float, float]:
        """Pixel sizes that training showed the network, over its own."""
        low, high = self.recipe.augment.scale
        return min(low, 1.0), max(high, 1.0)

    @property
    def temperature(self) -> float:
        """Divisor of the logits that calibrates the probabilities."""
        return float(self.card.get("temperature", 1.0))

    @property
    def weights(self) -> Path:
        """The weights, as numbers by the network's variable paths."""
        return self.path / "weights.npz"

    @property
    def compiled(self) -> Path | None:
        """The network compiled for CPUs, or None where the folder has none."""
        return self.path / COMPILED[0] if COMPILED[0] in self.card["sha256"] else None

    @property
    def digest(self) -> str:
        """SHA-256 over everything that decides what the model predicts."""
        decisive = [f"{name} {value}" for name, value in sorted(self.card["sha256"].items())]
        return hashlib.sha256("\n".join([*decisive, str(self.temperature)]).encode()).hexdigest()


def models_folder() -> Path:
    """Return the folder of the models that ship: in the package, or beside it in a checkout."""
    package = Path(mudrock_cli.__file__).resolve().parent
    inside, beside = package / "models", package.parent / "models"
    in_checkout = (package.parent / "pyproject.toml").is_file()
    return beside if in_checkout and not inside.is_dir() else inside


def list_models() -> list[str]:
    """Return the names of the models that ship, sorted."""
    return sorted(card.parent.name for card in models_folder().glob(f"*/{CARD}"))


def load_model(model: str = DEFAULT_MODEL) -> TrainedModel:
    """Load a model by its name or its folder.

    Parameters
    ----------
    model : str
        The name of a model that ships, or the path of a model folder.

    Raises
    ------
    UsageError
        If there is no such model.
    MudrockError
        If a file of the model is missing, unknown to its card or not what the card's hash says.
    """
    path = models_folder() / model if model in list_models() else Path(model)
    if not (path / CARD).is_file():
        raise UsageError(
            f"{model}: no model of this name and no folder with a {CARD}",
            f"models that ship: {', '.join(list_models()) or 'none'}; see mudrock models",
        )
    card = _read_card(path)
    for name, expected in card["sha256"].items():
        if (path / name).exists() and not (path / name).is_file():  # a pipe would be waited for
            raise MudrockError(f"{path / name}: not a file", "install the model again")
        if hash_file(path / name) != expected:
            raise MudrockError(
                f"{path / name}: is not the file that {CARD} describes (SHA-256 differs)",
                "install mudrock again, or train the model again",
            )
    source = path / "recipe.toml"
    recipe = Recipe.from_toml(read_text(source), str(source))
    return TrainedModel(path.resolve().name, path, recipe, card)


def seal_model(path: Path, facts: Mapping[str, Any]) -> TrainedModel:
    """Write ``card.json`` over the files of a model folder, and load the model.

    Parameters
    ----------
    path : Path
        A folder with recipe, weights and, if it has one, the compiled network.
    facts : Mapping
        What the card tells beside the hashes, JSON-able: ``temperature``, ``iou``, ...
    """
    present = [name for name in (*REQUIRED, *COMPILED) if (path / name).is_file()]
    card = dict(facts) | {"sha256": {name: hash_file(path / name) for name in present}}
    with placing(path / CARD) as part:
        part.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return load_model(str(path))


def _read_card(path: Path) -> dict[str, Any]:
    """Read the card; only files with known names may stand on it."""
    source = path / CARD
    try:
        card: dict[str, Any] = json.loads(read_text(source))
    except (ValueError, RecursionError) as error:
        raise MudrockError(f"{source}: is not valid JSON ({describe(error)})") from error
    hashes = card.get("sha256") if isinstance(card, dict) else None
    if not isinstance(hashes, dict):
        raise MudrockError(f"{source}: has no table of SHA-256 hashes")
    missing = [name for name in REQUIRED if name not in hashes]
    unknown = sorted(set(hashes) - {*REQUIRED, *COMPILED})
    half = len(set(COMPILED) & set(hashes)) == 1
    if missing or unknown or half:
        reason = f"lacks {', '.join(missing)}" if missing else f"names {', '.join(unknown)[:200]}"
        reason = f"names only one of {' and '.join(COMPILED)}" if half else reason
        raise MudrockError(f"{source}: {reason}", f"a model is {', '.join(REQUIRED + COMPILED)}")
    temperature = card.get("temperature", 1.0)
    if type(temperature) not in (int, float) or not 1e-3 <= temperature <= 1e3:
        shown = reprlib.repr(temperature)
        raise MudrockError(f"{source}: the temperature {shown} is no number from 0.001 to 1000")
    return card
