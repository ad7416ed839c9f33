"""Every hyper-parameter of the random forest, from and to TOML."""

import dataclasses
import reprlib
from dataclasses import dataclass
from typing import Any, Self, get_type_hints

import tomli_w

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.texts import parse_toml

ARCHITECTURE = "forest"
_INFERENCE = {"tile": 1024, "overlap": 384, "flips": 1}
_RANGES: dict[str, tuple[float, float]] = {
    "nm_per_pixel": (1e-3, 1e6),
    "trees": (1, 5000),
    "features_per_node": (1, 200),
    "depth": (1, 14),
    "min_leaf": (1, 10**6),
    "pixels_per_phase": (1, 10**7),
    "prior": (0, 1),
    "brightness": (0, 255),
    "contrast": (0, 2),
    "seed": (0, 2**32 - 1),
}


@dataclass(frozen=True)
class ForestRecipe:
    """How a forest is grown; trees and features per node are the paper's.

    Parameters
    ----------
    nm_per_pixel : float
        Pixel size of the images it learns from, and is given.
    trees, features_per_node : int
        Trees, and filter responses drawn at random at each node for the best split.
    depth, min_leaf : int
        Deepest level; fewest training pixels in a leaf.
    scales : tuple of float
        Standard deviations of the Gaussians, in pixels.
    pixels_per_phase : int
        Pixels of each phase that are drawn from all images together.
    prior : float
        0: every phase is taken to be equally likely beforehand; 1: as likely as it is frequent
        in the labels. Labels on less than half of the pixels (scribbles) tell no frequency, and
        count as 0.
    brightness, contrast : float
        Training pixels are made brighter by up to about this many grey levels and richer in
        contrast by about this share, at random, since microscopes differ.
    seed : int
        Of everything random.
    """

    nm_per_pixel: float = 10.0
    trees: int = 200
    features_per_node: int = 2
    depth: int = 10
    min_leaf: int = 5
    scales: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    pixels_per_phase: int = 30_000
    prior: float = 0.6
    brightness: float = 5.0
    contrast: float = 0.05
    seed: int = 20220101

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                shown = reprlib.repr(value)
                raise MudrockError(f"[forest] {name} = {shown} is outside {low:g} to {high:g}")
        if not 1 <= len(self.scales) <= 16 or not all(0.3 <= one <= 256 for one in self.scales):
            raise MudrockError("[forest] scales must be 1 to 16 numbers between 0.3 and 256")

    @classmethod
    def from_toml(cls, text: str, source: str = "recipe") -> Self:
        """Read a recipe; whatever the text leaves out keeps its default.

        Parameters
        ----------
        text : str
            TOML with ``network.architecture = "forest"``, ``data.nm_per_pixel`` and ``[forest]``.
        source : str
            Where it is from, for messages.

        Raises
        ------
        MudrockError
            If it is no TOML, the recipe of something else, or has an unknown key or a wrong value.
        """
        table = parse_toml(text, source)
        sections = {name: _section(table, name, source) for name in ("network", "data", "forest")}
        if sections["network"].get("architecture") != ARCHITECTURE:
            raise MudrockError(f'{source}: network.architecture is not "{ARCHITECTURE}"')
        values = dict(sections["forest"])
        if "nm_per_pixel" in sections["data"]:
            values["nm_per_pixel"] = sections["data"]["nm_per_pixel"]
        hints = get_type_hints(cls)
        unknown = sorted(set(values) - set(hints))
        if unknown:
            raise MudrockError(
                f"{source} [forest] has no key {', '.join(unknown)[:200]}",
                f"known: {', '.join(sorted(hints))}",
            )
        converted = {k: _value(hints[k], v, f"{source} {k}") for k, v in values.items()}
        try:
            return cls(**converted)
        except MudrockError as error:
            raise MudrockError(f"{source}: {error.message}") from error

    def to_toml(self) -> str:
        """Write the whole recipe, defaults included."""
        values = dataclasses.asdict(self)
        nm_per_pixel = values.pop("nm_per_pixel")
        return tomli_w.dumps(
            {
                "network": {"architecture": ARCHITECTURE},
                "data": {"nm_per_pixel": nm_per_pixel},
                "forest": values,
                "inference": _INFERENCE,
            }
        )


def _section(table: dict[str, Any], name: str, source: str) -> dict[str, Any]:
    section = table.get(name, {})
    if not isinstance(section, dict):
        raise MudrockError(f"{source}: [{name}] must be a table")
    return section


def _value(hint: Any, value: Any, source: str) -> Any:
    """Convert a TOML value to the field's type, or say what was expected."""
    if hint is int and type(value) is int:
        return value
    if hint is float and type(value) in (int, float) and abs(value) < 1 << 53:
        return float(value)
    if hint == tuple[float, ...] and isinstance(value, list):
        return tuple(_value(float, item, source) for item in value)
    raise MudrockError(f"{source}: {reprlib.repr(value)} is not what belongs there")
