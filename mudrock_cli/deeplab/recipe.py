"""Every hyper-parameter of a model, from and to TOML. The defaults are the paper's values."""

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from mudrock_cli import config
from mudrock_cli.config import parse_toml, read_packaged, setting
from mudrock_cli.errors import MudrockError, UsageError

_PACKAGE = "mudrock_cli.deeplab"
_MOST_CHANNELS = 4096  # of one layer: more are gigabytes of weights


def _channels(default: int, meaning: str, low: int = 1, high: int = 1024) -> int:
    return setting(default, meaning, low=low, high=high)


@dataclass(frozen=True)
class NetworkRecipe:
    """The shape of the network."""

    architecture: str = setting("deeplab", "what predicts", choices=("deeplab", "unet", "forest"))
    encoder: str = setting(
        "resnet101",
        "plain is that of unet and forest",
        choices=("resnet101", "resnet50", "resnet50v1", "mobilenetv2", "plain"),
    )
    output_stride: int = setting(8, "input over deepest features", choices=(8, 16, 32))
    rates: tuple[int, ...] = setting(
        (6, 12, 18), "of the ASPP at output stride 16; doubled at 8", low=1, high=64, length=(1, 8)
    )
    decoder: str = setting(
        "dense",
        "separable: depthwise-separable convolutions, outlines drawn at half size",
        choices=("dense", "separable"),
    )
    aspp_channels: int = _channels(256, "of each view of the spatial pyramid")
    low_level_channels: int = _channels(48, "of the skip at stride 4")
    decoder_channels: int = _channels(256, "of the decoder")
    detail_channels: int = _channels(0, "of a finer skip, at stride 2; the paper has none", 0)
    relief: bool = setting(False, "two of the three copies of the grey show its contrast instead")
    outline_channels: int = _channels(
        0, "of a skip at full size, for outlines; the paper has none", 0, 256
    )
    batch_norm_decay: float = setting(
        0.9997, "share of the old moving statistics that a step keeps", low=0, high=0.99999
    )
    unet_channels: int = _channels(
        64, "of the first of unet's levels; each level doubles them", 1, 512
    )
    unet_levels: int = setting(4, "how often unet halves the image", low=1, high=6)


@dataclass(frozen=True)
class DataRecipe:
    """How micrographs become training crops."""

    nm_per_pixel: float = setting(10.0, "pixel size of all micrographs, nm", low=0.01, high=1e6)
    normalise: bool = setting(
        False, "brightness and contrast of a micrograph to those of every other"
    )
    crop: tuple[int, int] = setting((230, 300), "rows and columns", low=32, high=8192)
    tile: tuple[int, int] = setting(
        (343, 400), "micrographs are cut into these first; 0, 0: left whole", low=0, high=100_000
    )
    mirrored: bool = setting(True, "a left-right and an upside-down copy of every tile")
    images: int = setting(
        2239,
        "changed copies of random tiles are added up to so many; 0 adds none",
        low=0,
        high=10_000_000,
    )
    parts: tuple[float, float, float] = setting(
        (0.70, 0.15, 0.15), "shares for training, validation, test", low=0, high=1
    )
    register: bool = setting(False, "move labels back that drift off their micrograph")


@dataclass(frozen=True)
class AugmentRecipe:
    """Random changes of a crop; a range of zero width, or a share of 0, switches one off."""

    scale: tuple[float, float] = setting((0.7, 1.3), "smallest and largest", low=0.05, high=20)
    flip_horizontal: bool = setting(True, "left and right changed over, or not")
    flip_vertical: bool = setting(False, "top and bottom changed over, or not")
    quarter_turns: bool = setting(False, "turned by 0, 90, 180 or 270 degrees")
    brightness: float = setting(0.0, "plus or minus so many grey levels", low=0, high=255)
    contrast: float = setting(0.0, "gain in 1 plus or minus this", low=0, high=0.95)
    gamma: float = setting(0.0, "exponent in exp(plus or minus this)", low=0, high=3)
    seams: float = setting(
        0.0, "share of crops with steps of brightness and contrast between fields", low=0, high=1
    )
    shading: float = setting(
        0.0, "plus or minus so many grey levels from edge to edge", low=0, high=255
    )
    noise: float = setting(
        0.0, "standard deviation of shot noise at full grey, up to so many levels", low=0, high=255
    )
    blur: float = setting(0.0, "defocus, Gaussian sigma up to so many pixels", low=0, high=50)
    curtaining: float = setting(0.0, "vertical streaks, up to so many levels", low=0, high=255)
    charging: float = setting(0.0, "horizontal streaks, up to so many levels", low=0, high=255)


@dataclass(frozen=True)
class LossRecipe:
    """What is minimised."""

    class_weights: tuple[float, float, float] = setting(
        (1.0, 1.0, 1.0), "of clay, silt, pore", low=0, high=1000
    )
    dice: float = setting(0.0, "weight of soft Dice beside the cross-entropy", low=0, high=100)
    weight_decay: float = setting(
        2e-4, "L2 / 2 on all trainable weights, added to the loss", low=0, high=1
    )
    start_pull: float = setting(
        0.0, "the same on how far they are from those of the start (L2-SP)", low=0, high=100
    )


@dataclass(frozen=True)
class OptimizerRecipe:
    """How it is minimised."""

    name: str = setting(
        "momentum", "adamw decays kernels, decoupled", choices=("momentum", "adamw")
    )
    rate: float = setting(7e-3, "learning rate at first", low=1e-12, high=100)
    end_rate: float = setting(1e-6, "learning rate after decay_steps", low=0, high=100)
    power: float = setting(0.9, "of the polynomial between them", low=0.01, high=10)
    decay_steps: int = setting(15_000, "0: all steps of the training", low=0, high=10**9)
    momentum: float = setting(0.9, "share of the step before", low=0, high=0.9999)
    decoupled_decay: float = setting(0.0, "weight decay of adamw", low=0, high=10)
    warmup_steps: int = setting(0, "over which the rate rises from 0", low=0, high=10**8)


@dataclass(frozen=True)
class TrainingRecipe:
    """How long, how many at a time, in which precision."""

    batch: int = setting(4, "crops of a step", low=1, high=4096)
    epochs: int = setting(50, "after each of which a checkpoint is kept", low=1, high=10**6)
    steps_per_epoch: int = setting(
        0, "0: each tile once, or whole micrographs as often as crops fit", low=0, high=10**8
    )
    precision: str = setting(
        "float32", "of the layers", choices=("float32", "mixed_bfloat16", "mixed_float16")
    )
    average: float = setting(
        0.0, "decay of the exponential moving average of the weights; 0: off", low=0, high=0.99999
    )
    seed: int = setting(20220101, "of everything random", low=0, high=2**32 - 1)
    finetune: bool = setting(
        False, "network, data, augment and inference are those of the model it starts from"
    )
    last_layer: bool = setting(
        False, "the last layer alone learns, solved at once; there are no epochs"
    )
    frozen_blocks: int = setting(
        0,
        "blocks of the encoder, with all before them, whose kernels stay as they started; their "
        "batch norms are trained",
        low=0,
        high=33,
    )
    keep_statistics: bool = setting(
        False, "batch norm goes by the moving statistics of the start, which stay"
    )
    blend: float = setting(
        1.0, "weights: at most so much of what was learned, the rest of the start", low=0, high=1
    )
    halves: bool = setting(
        False, "less is blended in where halves of the labels, each judging the other, tell so"
    )
    loss_allowed: float = setting(
        0.01, "mean IoU that a blend may lose on the micrographs of --keep", low=0, high=1
    )


@dataclass(frozen=True)
class InferenceRecipe:
    """How a whole micrograph is predicted."""

    tile: int = setting(512, "side of a tile, pixels", low=32, high=4096)
    overlap: int = setting(128, "pixels that neighbouring tiles share", low=0, high=4096)
    workflow: tuple[float, float, float, float] = setting(
        (0.0, 0.0, 0.0, 0.0),
        "weights of the classical prior, logarithms of odds: its clay against silt, its silt "
        "against clay, its solid against pore, its pore against both; zeros: the network alone",
        low=0,
        high=20,
    )


@dataclass(frozen=True)
class Recipe:
    """All hyper-parameters of a model.

    Raises
    ------
    MudrockError
        From :meth:`from_toml` and :meth:`from_dict`, if the text is no TOML, names an unknown key
        or gives a value of the wrong type, outside its range or in conflict with another.
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
        cls, table: Mapping[str, Any], source: str = "recipe", ignored: list[str] | None = None
    ) -> Self:
        """Read a recipe from nested tables.

        Parameters
        ----------
        table : mapping
            Sections of keys and values.
        source : str
            Where it is from, for messages.
        ignored : list of str, optional
            Takes the names of keys that an earlier version knew and that asked for something. By
            default such a key is an error; one that asked for nothing is left out either way.
        """
        return config.from_dict(cls, _drop_removed(table, source, ignored), source)

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as nested tables of plain values."""
        return config.to_dict(self)

    def to_toml(self) -> str:
        """Write the whole recipe, defaults included."""
        return config.to_toml(self)

    def find_conflicts(self) -> Iterator[tuple[str, Any, str]]:
        """Yield values that are possible by themselves and impossible together."""
        network, data, inference = self.network, self.data, self.inference
        if self.augment.scale[0] > self.augment.scale[1]:
            yield "augment.scale", self.augment.scale, "the smaller value stands first"
        if network.unet_channels * 2**network.unet_levels > _MOST_CHANNELS:
            allowed = f"unet_channels x 2^unet_levels up to {_MOST_CHANNELS}"
            yield "network.unet_levels", network.unet_levels, allowed
        if network.architecture != "forest" and (
            (network.architecture == "unet") != (network.encoder == "plain")
        ):
            allowed = "plain for unet, any other for deeplab"
            yield "network.encoder", network.encoder, allowed
        if network.encoder == "resnet50v1" and network.output_stride > 16:
            yield "network.output_stride", network.output_stride, "8 or 16 with resnet50v1"
        if self.forest and network.architecture != "forest":
            yield "forest", self.forest, 'only with network.architecture = "forest"'
        if self.training.frozen_blocks and network.encoder == "plain":
            yield "training.frozen_blocks", self.training.frozen_blocks, "0 without an encoder"
        if self.training.last_layer and not self.training.finetune:
            yield "training.last_layer", True, "only with training.finetune = true"
        if (data.tile[0] == 0) != (data.tile[1] == 0):
            yield "data.tile", data.tile, "rows and columns, or 0, 0 for whole micrographs"
        if data.normalise and data.tile[0]:
            yield "data.normalise", True, "only of whole micrographs: data.tile = [0, 0]"
        if abs(sum(data.parts) - 1) > 1e-6 or data.parts[0] == 0:
            yield "data.parts", data.parts, "three shares that sum to 1, the first above 0"
        if self.loss.start_pull and self.loss.weight_decay:
            yield "loss.weight_decay", self.loss.weight_decay, "0 beside loss.start_pull"
        if sum(self.loss.class_weights) == 0:
            yield "loss.class_weights", self.loss.class_weights, "at least one above 0"
        step = 2**network.unet_levels if network.architecture == "unet" else 32
        if inference.tile % step:
            yield "inference.tile", inference.tile, f"a multiple of {step}"
        if inference.overlap >= inference.tile:
            yield "inference.overlap", inference.overlap, "less than inference.tile"


_REMOVED: dict[str, dict[str, Any]] = {
    "network": {"dropout": 0.0},
    "data": {"phantoms": 0, "phantom_share": None},
    "optimizer": {"clip_norm": 0.0},
    "training": {
        "patience": 0,
        "keep": "last",
        "batch_norm_steps": 0,
        "head_epochs": 0,
        "head_rate": None,
        "held_out": 0.0,
    },
    "inference": {"flips": 1, "zooms": [1.0], "close_ups": [], "adaptation": 0.0},
}
"""Keys of earlier versions, with the value that asked for nothing (None: any)."""


def _drop_removed(
    table: Mapping[str, Any], source: str, ignored: list[str] | None
) -> dict[str, Any]:
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
                    f"{source}: {section}.{key} is no longer supported", "leave the key out"
                )
            ignored.append(f"{section}.{key}")
    return kept


_OF_THE_START = ("network", "data", "augment", "inference")


def load_recipe(
    name: str, settings: Sequence[str] = (), find_start: Callable[[], Recipe] = Recipe
) -> Recipe:
    """Load a recipe.

    Parameters
    ----------
    name : str
        Of a packaged recipe, or the path of a TOML file.
    settings : sequence of str
        Values that override the recipe's, as ``section.key=value`` with the value in TOML; text
        needs no quotes.
    find_start : callable
        Returns the recipe of the model that training starts from; asked by a recipe that
        fine-tunes, which takes from there what it leaves out.

    Raises
    ------
    UsageError
        If there is no such recipe, a setting cannot be read, or a recipe that fine-tunes asks for
        another network than that of its start.
    MudrockError
        If the recipe or a value in it is wrong.
    """
    text, source = read_packaged(_PACKAGE, name)
    table = parse_toml(text, source)
    training = table.get("training")
    if not (isinstance(training, dict) and training.get("finetune") is True):
        return _override(table, settings, source)
    start = find_start()
    known = start.to_dict()
    for section in _OF_THE_START:
        own = table.get(section, {})
        table[section] = {**known[section], **own} if isinstance(own, dict) else own
    made = _override(table, settings, source)
    if made.network != start.network:
        raise UsageError(
            f"{source}: fine-tuning keeps the network of the model that it starts from",
            "leave network out, or train another one: --recipe fast",
        )
    return made


def change_recipe(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """Return a recipe with single values changed; see `load_recipe`."""
    return _override(recipe.to_dict(), settings, "recipe")


def _override(table: dict[str, Any], settings: Sequence[str], source: str) -> Recipe:
    for text in settings:
        name, equals, value = text.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot and key and section):
            raise UsageError(f"--set {text}: cannot be read", "write --set optimizer.rate=0.01")
        try:
            parsed = tomllib.loads(f"value = {value}")["value"]
        except (ValueError, RecursionError):
            parsed = value.strip()
        inner = table.setdefault(section, {})
        if not isinstance(inner, dict):
            raise UsageError(f"--set {text}: {section} is no section of a recipe")
        inner[key] = parsed
    return Recipe.from_dict(table, f"{source} with --set" if settings else source)
