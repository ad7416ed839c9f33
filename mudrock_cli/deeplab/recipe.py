"""The values that a recipe may hold: names that are known, numbers that make sense."""

import dataclasses
import reprlib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Self, get_type_hints

import tomli_w

from mudrock_cli.config import parse_toml, read_text
from mudrock_cli.errors import MudrockError, UsageError

_CHOICES: dict[str, tuple[Any, ...]] = {
    "network.architecture": ("deeplab", "unet", "forest"),
    "network.encoder": ("resnet101", "resnet50", "resnet50v1", "mobilenetv2", "plain"),
    "network.output_stride": (8, 16, 32),
    "network.decoder": ("dense", "separable"),
    "optimizer.name": ("momentum", "adamw"),
    "training.precision": ("float32", "mixed_bfloat16", "mixed_float16"),
}

_MOST_RATES = 8
_MOST_CHANNELS = 4096  # of one layer: more are gigabytes of weights

# Smallest and largest value; lists: of each of their values. Booleans have none.
_LIMITS: dict[str, tuple[float, float]] = {
    "network.rates": (1, 64),
    "network.aspp_channels": (1, 1024),
    "network.low_level_channels": (1, 1024),
    "network.decoder_channels": (1, 1024),
    "network.detail_channels": (0, 1024),
    "network.outline_channels": (0, 256),
    "network.batch_norm_decay": (0, 0.99999),
    "network.unet_channels": (1, 512),
    "network.unet_levels": (1, 6),
    "data.nm_per_pixel": (0.01, 1e6),
    "data.crop": (32, 8192),
    "data.tile": (0, 100_000),
    "data.images": (0, 10_000_000),
    "data.parts": (0, 1),
    "augment.scale": (0.05, 20),
    "augment.brightness": (0, 255),
    "augment.contrast": (0, 0.95),
    "augment.gamma": (0, 3),
    "augment.seams": (0, 1),
    "augment.shading": (0, 255),
    "augment.noise": (0, 255),
    "augment.blur": (0, 50),
    "augment.curtaining": (0, 255),
    "augment.charging": (0, 255),
    "loss.class_weights": (0, 1000),
    "loss.dice": (0, 100),
    "loss.weight_decay": (0, 1),
    "optimizer.rate": (1e-12, 100),
    "optimizer.end_rate": (0, 100),
    "optimizer.power": (0.01, 10),
    "optimizer.decay_steps": (0, 1_000_000_000),
    "optimizer.momentum": (0, 0.9999),
    "optimizer.decoupled_decay": (0, 10),
    "optimizer.warmup_steps": (0, 100_000_000),
    "training.batch": (1, 4096),
    "training.epochs": (1, 1_000_000),
    "training.steps_per_epoch": (0, 100_000_000),
    "training.average": (0, 0.99999),
    "training.seed": (0, 2**32 - 1),
    "inference.tile": (32, 4096),
    "inference.overlap": (0, 4096),
    "inference.workflow": (0, 20),
}


def check_values(table: Mapping[str, Mapping[str, Any]], source: str) -> None:
    """Check that every value of a recipe lies in its range and fits the others.

    Parameters
    ----------
    table : mapping
        All sections of a recipe with all their keys, as `Recipe.to_dict` returns them.
    source : str
        Where the recipe comes from, for the message.

    Raises
    ------
    MudrockError
        For the first value that does not, with what is allowed.
    """
    for section, values in table.items():
        for key, value in values.items():
            name = f"{section}.{key}"
            if name in _CHOICES and value not in _CHOICES[name]:
                allowed = ", ".join(str(choice) for choice in _CHOICES[name])
                raise _refuse(source, name, value, f"known: {allowed}")
            if name in _LIMITS:
                low, high = _LIMITS[name]
                for number in value if isinstance(value, tuple) else (value,):
                    if not low <= number <= high:
                        raise _refuse(source, name, value, f"allowed: {low:g} to {high:g}")
    for name, value, allowed in _find_conflicts(table):
        raise _refuse(source, name, value, allowed)


def _refuse(source: str, name: str, value: Any, allowed: str) -> MudrockError:
    shown = reprlib.repr(list(value) if isinstance(value, tuple) else value)
    return MudrockError(f"{source}: {name} cannot be {shown}", allowed)


def _find_conflicts(table: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Any, str]]:
    """Yield values that are possible by themselves and impossible together."""
    network, data, inference = table["network"], table["data"], table["inference"]
    low, high = table["augment"]["scale"]
    if low > high:
        yield "augment.scale", (low, high), "the smaller value stands first"
    if not 1 <= len(network["rates"]) <= _MOST_RATES:
        yield "network.rates", network["rates"], f"1 to {_MOST_RATES} rates"
    deepest = network["unet_channels"] * 2 ** network["unet_levels"]
    if deepest > _MOST_CHANNELS:
        allowed = f"unet_channels x 2^unet_levels up to {_MOST_CHANNELS}"
        yield "network.unet_levels", network["unet_levels"], allowed
    fitting = {"deeplab": network["encoder"] != "plain", "unet": network["encoder"] == "plain"}
    if not fitting.get(network["architecture"], True):
        allowed = "deeplab: resnet101, resnet50, resnet50v1, mobilenetv2; unet: plain"
        yield "network.encoder", network["encoder"], allowed
    if network["encoder"] == "resnet50v1" and network["output_stride"] > 16:
        yield "network.output_stride", network["output_stride"], "8 or 16 with resnet50v1"
    if table["forest"] and network["architecture"] != "forest":
        yield "forest", table["forest"], 'only with network.architecture = "forest"'
    if (data["tile"][0] == 0) != (data["tile"][1] == 0):
        yield "data.tile", data["tile"], "rows and columns, or 0, 0 for whole micrographs"
    if data["normalise"] and data["tile"][0]:
        yield "data.normalise", True, "only of whole micrographs: data.tile = [0, 0]"
    if abs(sum(data["parts"]) - 1) > 1e-6 or data["parts"][0] == 0:
        yield "data.parts", data["parts"], "three shares that sum to 1, the first above 0"
    if sum(table["loss"]["class_weights"]) == 0:
        yield "loss.class_weights", table["loss"]["class_weights"], "at least one above 0"
    step = 2 ** network["unet_levels"] if network["architecture"] == "unet" else 32
    if inference["tile"] % step:
        yield "inference.tile", inference["tile"], f"a multiple of {step}"
    if inference["overlap"] >= inference["tile"]:
        yield "inference.overlap", inference["overlap"], "less than inference.tile"


# Every hyper-parameter of a model, from and to TOML. The defaults are the paper's values.


@dataclass(frozen=True)
class NetworkRecipe:
    """The shape of the network."""

    architecture: str = "deeplab"  # deeplab | unet | forest
    encoder: str = "resnet101"  # see `encode`; plain, of unet and forest
    output_stride: int = 8
    rates: tuple[int, ...] = (6, 12, 18)  # of the ASPP at output stride 16; doubled at 8
    decoder: str = "dense"  # dense | separable: depthwise-separable, outlines drawn at half size
    aspp_channels: int = 256
    low_level_channels: int = 48
    decoder_channels: int = 256
    detail_channels: int = 0  # > 0 adds finer skips, down to stride 2; the paper has none
    relief: bool = False  # two of the three copies of the grey show its contrast instead
    outline_channels: int = 0  # > 0 adds a skip at full size, for outlines; the paper has none
    batch_norm_decay: float = 0.9997
    unet_channels: int = 64  # of the first of unet's levels; each level doubles them
    unet_levels: int = 4  # how often unet halves the image


@dataclass(frozen=True)
class DataRecipe:
    """How micrographs become training crops."""

    nm_per_pixel: float = 10.0
    normalise: bool = False  # brightness and contrast of a micrograph to those of every other
    crop: tuple[int, int] = (230, 300)  # rows, columns
    tile: tuple[int, int] = (343, 400)  # micrographs are cut into these first; 0, 0: left whole
    mirrored: bool = True  # a left-right and an upside-down copy of every tile
    images: int = 2239  # changed copies of random tiles are added up to so many; 0 adds none
    parts: tuple[float, float, float] = (0.70, 0.15, 0.15)  # training, validation, test
    register: bool = False  # move labels back that drift off their micrograph


@dataclass(frozen=True)
class AugmentRecipe:
    """Random changes of a crop; a range of zero width, or a share of 0, switches one off."""

    scale: tuple[float, float] = (0.7, 1.3)
    flip_horizontal: bool = True
    flip_vertical: bool = False
    quarter_turns: bool = False
    brightness: float = 0.0  # ± this many grey levels
    contrast: float = 0.0  # gain in 1 ± this
    gamma: float = 0.0  # exponent in exp(± this)
    seams: float = 0.0  # share of crops with steps of brightness and contrast between fields
    shading: float = 0.0  # ± this many grey levels from edge to edge
    noise: float = 0.0  # standard deviation of shot noise at full grey, up to this many levels
    blur: float = 0.0  # defocus, Gaussian sigma up to this many pixels
    curtaining: float = 0.0  # vertical streaks, up to this many grey levels
    charging: float = 0.0  # horizontal streaks, up to this many grey levels


@dataclass(frozen=True)
class LossRecipe:
    """What is minimised."""

    class_weights: tuple[float, float, float] = (1.0, 1.0, 1.0)  # clay, silt, pore
    dice: float = 0.0  # weight of the soft Dice term beside the cross-entropy
    weight_decay: float = 2e-4  # L2 / 2 on all trainable weights, added to the loss


@dataclass(frozen=True)
class OptimizerRecipe:
    """How it is minimised."""

    name: str = "momentum"  # momentum | adamw (decay decoupled, on kernels)
    rate: float = 7e-3
    end_rate: float = 1e-6
    power: float = 0.9
    decay_steps: int = 15_000  # 0: all steps of the training
    momentum: float = 0.9
    decoupled_decay: float = 0.0  # of adamw
    warmup_steps: int = 0


@dataclass(frozen=True)
class TrainingRecipe:
    """How long, how many at a time, in which precision."""

    batch: int = 4
    epochs: int = 50
    steps_per_epoch: int = 0  # 0: each tile once, or whole micrographs as often as crops fit
    precision: str = "float32"  # float32 | mixed_bfloat16 | mixed_float16
    average: float = 0.0  # decay of the exponential moving average of the weights; 0 = off
    seed: int = 20220101


@dataclass(frozen=True)
class InferenceRecipe:
    """How a whole micrograph is predicted."""

    tile: int = 512
    overlap: int = 128
    workflow: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)  # of the classical prior:
    # logarithms of odds by which its clay counts against silt, its silt against clay, its solid
    # against pore, its pore against both solids. Zeros: the network alone


@dataclass(frozen=True)
class Recipe:
    """All hyper-parameters of a model.

    Raises
    ------
    MudrockError
        From :meth:`from_toml`, if the text is no TOML, names an unknown key or gives a value of
        the wrong type or outside its range.
    """

    network: NetworkRecipe = field(default_factory=NetworkRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)
    loss: LossRecipe = field(default_factory=LossRecipe)
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    training: TrainingRecipe = field(default_factory=TrainingRecipe)
    inference: InferenceRecipe = field(default_factory=InferenceRecipe)
    forest: dict[str, Any] = field(default_factory=dict)  # of architecture forest: its own values

    @classmethod
    def from_toml(cls, text: str, source: str = "recipe", ignored: list[str] | None = None) -> Self:
        """Read a recipe; whatever the text leaves out keeps its default. See :meth:`from_dict`."""
        return cls.from_dict(parse_toml(text, source), source, ignored)

    @classmethod
    def from_dict(
        cls, table: dict[str, Any], source: str = "recipe", ignored: list[str] | None = None
    ) -> Self:
        """Read a recipe from nested tables.

        Parameters
        ----------
        table : dict
            Sections of keys and values.
        source : str
            Where it is from, for messages.
        ignored : list of str, optional
            Takes the names of keys that an earlier version knew and that asked for something. By
            default such a key is an error; one that asked for nothing is left out either way.
        """
        sections = get_type_hints(cls)
        table = _drop_removed(table, source, ignored)
        _refuse_unknown(table, set(sections), source)
        recipe = cls(
            **{
                name: _section(sections[name], value, f"{source} [{name}]")
                for name, value in table.items()
            }
        )
        check_values(recipe.to_dict(), source)
        return recipe

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as nested tables of plain values."""
        return dataclasses.asdict(self)

    def to_toml(self) -> str:
        """Write the whole recipe, defaults included."""
        table = self.to_dict()
        return tomli_w.dumps({name: values for name, values in table.items() if values})


_REMOVED: dict[str, dict[str, Any]] = {
    "network": {"dropout": 0.0},
    "data": {"phantoms": 0, "phantom_share": None},
    "optimizer": {"clip_norm": 0.0},
    "training": {"patience": 0, "keep": "last", "batch_norm_steps": 0},
    "inference": {"flips": 1, "zooms": [1.0], "close_ups": [], "adaptation": 0.0},
}
"""Keys of earlier versions, with the value that asked for nothing (None: any)."""


def _drop_removed(table: dict[str, Any], source: str, ignored: list[str] | None) -> dict[str, Any]:
    """Return a recipe without the keys of earlier versions; see `Recipe.from_dict`."""
    kept = dict(table)
    for section, removed in _REMOVED.items():
        values = table.get(section)
        if not isinstance(values, dict):
            continue
        kept[section] = {key: value for key, value in values.items() if key not in removed}
        for key in sorted(removed.keys() & values.keys()):
            value = list(values[key]) if isinstance(values[key], tuple) else values[key]
            if removed[key] is None or value == removed[key]:
                continue
            if ignored is None:
                raise MudrockError(
                    f"{source} [{section}]: {key} is no longer supported", "leave the key out"
                )
            ignored.append(f"{section}.{key}")
    return kept


def _section(kind: type, table: Any, source: str) -> Any:
    if not isinstance(table, dict):
        raise MudrockError(f"{source} must be a table")
    if not dataclasses.is_dataclass(kind):
        return table
    hints = get_type_hints(kind)
    _refuse_unknown(table, set(hints), source)
    return kind(**{k: _value(hints[k], v, f"{source} {k}") for k, v in table.items()})


def _value(hint: Any, value: Any, source: str) -> Any:
    """Convert a TOML value to the field's type, or say what was expected."""
    if getattr(hint, "__origin__", None) is tuple:
        inner = hint.__args__
        if not isinstance(value, list | tuple):
            raise MudrockError(f"{source} must be a list, not {reprlib.repr(value)}")
        length = None if inner[-1] is Ellipsis else len(inner)
        if length is not None and len(value) != length:
            raise MudrockError(f"{source} must have {length} values, not {len(value)}")
        return tuple(_value(inner[0], item, source) for item in value)
    if hint is float and type(value) is int and abs(value) < 1 << 53:
        return float(value)
    if type(value) is not hint:
        shown = reprlib.repr(value)
        raise MudrockError(f"{source} must be of type {hint.__name__}, not {shown}")
    return value


def _refuse_unknown(table: dict[str, Any], known: set[str], source: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise MudrockError(
            f"{source} has no key {', '.join(unknown)[:200]}", f"known: {', '.join(sorted(known))}"
        )


# Recipes by name, from a file, and with single values changed.

_RECIPES = files("mudrock_cli.deeplab") / "recipes"


def list_recipes() -> list[str]:
    """Return the names of the packaged recipes, sorted."""
    found = (Path(entry.name) for entry in _RECIPES.iterdir())
    return sorted(path.stem for path in found if path.suffix == ".toml")


def load_recipe(name: str, settings: Sequence[str] = ()) -> Recipe:
    """Load a recipe.

    Parameters
    ----------
    name : str
        Of a packaged recipe, or the path of a TOML file.
    settings : sequence of str
        Values that override the recipe's, as ``section.key=value`` with the value in TOML; text
        needs no quotes.

    Raises
    ------
    UsageError
        If there is no such recipe, or a setting cannot be read.
    MudrockError
        If the recipe or a value in it is wrong.
    """
    if name in list_recipes():
        text, source = (_RECIPES / f"{name}.toml").read_text("utf-8"), f"recipe {name}"
    else:
        text, source = _read(Path(name)), name
    table = parse_toml(text, source)
    for setting in settings:
        _override(table, setting)
    return Recipe.from_dict(table, f"{source} with --set" if settings else source)


def change_recipe(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """Return a recipe with single values changed; see `load_recipe`."""
    table = recipe.to_dict()
    for setting in settings:
        _override(table, setting)
    return Recipe.from_dict(table, "recipe with --set")


def _read(path: Path) -> str:
    if not path.is_file():
        known = ", ".join(list_recipes())
        raise UsageError(f"{path}: no recipe of this name and no such file", f"recipes: {known}")
    try:
        return read_text(path)
    except MudrockError as error:
        raise UsageError(error.message, error.hint) from error


def _override(table: dict[str, Any], setting: str) -> None:
    name, equals, value = setting.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and key and section):
        raise UsageError(f"--set {setting}: cannot be read", "write --set optimizer.rate=0.01")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        parsed = value.strip()
    inner = table.setdefault(section, {})
    if not isinstance(inner, dict):
        raise UsageError(f"--set {setting}: {section} is no section of a recipe")
    inner[key] = parsed
