"""Every hyper-parameter of a model, from and to TOML. The defaults are the paper's values."""

import dataclasses
import reprlib
from dataclasses import dataclass, field
from typing import Any, Self, get_type_hints

import tomli_w

from mudrock_cli.deeplab.recipes.limits import check_values
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.texts import parse_toml


@dataclass(frozen=True)
class NetworkRecipe:
    """The shape of the network."""

    architecture: str = "deeplab"  # deeplab | unet | forest
    encoder: str = "resnet101"  # resnet101 | resnet50 | mobilenetv2; plain, of unet and forest
    output_stride: int = 8
    rates: tuple[int, ...] = (6, 12, 18)  # of the ASPP at output stride 16; doubled at 8
    aspp_channels: int = 256
    low_level_channels: int = 48
    decoder_channels: int = 256
    detail_channels: int = 0  # > 0 adds finer skips, down to stride 2; the paper has none
    relief: bool = False  # two of the three copies of the grey show its contrast instead
    outline_channels: int = 0  # > 0 adds a skip at full size, for outlines; the paper has none
    dropout: float = 0.0
    batch_norm_decay: float = 0.9997
    unet_channels: int = 64  # of the first of unet's levels; each level doubles them
    unet_levels: int = 4  # how often unet halves the image


@dataclass(frozen=True)
class DataRecipe:
    """How micrographs become training crops."""

    nm_per_pixel: float = 10.0
    crop: tuple[int, int] = (230, 300)  # rows, columns
    tile: tuple[int, int] = (343, 400)  # micrographs are cut into these first; 0, 0: left whole
    mirrored: bool = True  # a left-right and an upside-down copy of every tile
    images: int = 2239  # changed copies of random tiles are added up to so many; 0 adds none
    parts: tuple[float, float, float] = (0.70, 0.15, 0.15)  # training, validation, test
    register: bool = False  # move labels back that drift off their micrograph
    phantoms: int = 0  # so many synthetic fields beside the training micrographs
    phantom_share: float = 0.25  # of the crops, from them


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
    clip_norm: float = 0.0  # 0 = off


@dataclass(frozen=True)
class TrainingRecipe:
    """How long, how many at a time, in which precision."""

    batch: int = 4
    epochs: int = 50
    steps_per_epoch: int = 0  # 0: each tile once, or whole micrographs as often as crops fit
    precision: str = "float32"  # float32 | mixed_bfloat16 | mixed_float16
    average: float = 0.0  # decay of the exponential moving average of the weights; 0 = off
    seed: int = 20220101
    patience: int = 0  # epochs without a better validation IoU before stopping; 0 = never
    keep: str = "last"  # which epoch's weights are the model: last | best (validation IoU)
    batch_norm_steps: int = 0  # crops that re-estimate batch-norm statistics at the end; 0 = off


@dataclass(frozen=True)
class InferenceRecipe:
    """How a whole micrograph is predicted."""

    tile: int = 512
    overlap: int = 128
    flips: int = 1  # views averaged: 1, 2 (mirror) or 4 (both mirrors)
    zooms: tuple[float, ...] = (1.0,)  # magnifications averaged, each of all those views
    close_ups: tuple[float, ...] = ()  # those of a field that a tile covers; none: as any other
    adaptation: float = 0.0  # share of a large field's own batch statistics, 0 to 1
    workflow: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)  # logarithms of odds that
    # a vote of the classical workflow shifts: for clay, against silt; for silt, against clay; for
    # no pore, to either; for pore. Zeros: the network alone


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
    def from_toml(cls, text: str, source: str = "recipe") -> Self:
        """Read a recipe; whatever the text leaves out keeps its default."""
        return cls.from_dict(parse_toml(text, source), source)

    @classmethod
    def from_dict(cls, table: dict[str, Any], source: str = "recipe") -> Self:
        """Read a recipe from nested tables."""
        sections = get_type_hints(cls)
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
