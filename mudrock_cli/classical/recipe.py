"""What the workflow looks for: few numbers, each of them a length, a share or a tolerance."""

import dataclasses
import hashlib
import reprlib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Self, get_type_hints

import tomli_w

from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.image.texts import parse_toml, read_text

PACKAGED = ("groundtruth", "exact", "threshold")
"""Recipes that come with the package."""

_MOST = 100_000
"""No length in nanometres is larger: filters of whole images take for ever."""


@dataclass(frozen=True)
class BackgroundRecipe:
    """How bright the solid is, and how dark the deepest pore.

    Parameters
    ----------
    window_nm : float
        Side of the window whose median is the brightness of the solid; it follows uneven
        illumination and the brightness steps between fields. 0 takes the whole image.
    black_percent : float
        Percentage of the pixels that are as dark as the deepest pore.
    """

    window_nm: float = 2400.0
    black_percent: float = 0.1


@dataclass(frozen=True)
class ContrastRecipe:
    """How contrast is enhanced before the threshold.

    Parameters
    ----------
    nm_per_pixel : float
        A micrograph of coarser pixels is enlarged to this pixel size first, since windows, discs
        and rims are whole pixels. 0 leaves it, and so do pixels that are too coarse for `reach_nm`.
    smooth_nm : float
        Side of the median window at the finest scale; 0 leaves the noise.
    reach_nm : float
        Radius of the top-hat's and bottom-hat's disc at the finest scale.
    scales : int
        Number of spatial scales; each doubles both lengths of the one before. 0 leaves the grey.
    top_hat : float
        Weight of the top-hat beside the bottom-hat's 1.
    """

    nm_per_pixel: float = 12.0
    smooth_nm: float = 50.0
    reach_nm: float = 90.0
    scales: int = 3
    top_hat: float = 0.1

    def shows(self, pixel_nm: float) -> bool:
        """Return whether pixels are fine enough for the pores that the finest disc meets."""
        return self.scales == 0 or 2 * pixel_nm <= self.reach_nm


@dataclass(frozen=True)
class PoreRecipe:
    """What a pore is.

    Parameters
    ----------
    darkness : float
        Contrast from which a pixel is pore: 0 is the solid around it, 1 the deepest pore.
    tolerance : float
        How far `darkness` can be moved with equal right.
    depth : float
        Share of the way to the deepest pore from which a pixel is pore whatever surrounds it: the
        inside of pores that are larger than the largest disc.
    edge_nm : float
        Width of the blurred rim that is taken off each pore.
    """

    darkness: float = 0.205
    tolerance: float = 0.02
    depth: float = 0.38
    edge_nm: float = 10.0


@dataclass(frozen=True)
class SiltRecipe:
    """What a silt grain is.

    Parameters
    ----------
    darkness : float
        Contrast from which a pixel is no smooth solid in any image, on the scale of
        `PoreRecipe.darkness`.
    roughness : float
        Contrast from which a pixel is no smooth solid, in units of the image's typical contrast,
        what noise adds to it left out.
    tolerance : float
        How far `roughness` can be moved with equal right.
    thickness_nm : float
        Diameter of the disc that must fit into a grain.
    rim_nm : float
        Width of the rim of a grain that is left to the clay.
    min_ecd_nm : float
        Equivalent-circle diameter from which a grain is silt, its rim included.
    rough_share : float
        Largest share of a grain's pixels that have twice the typical contrast; what is rougher is
        an aggregate of clay.
    hole_nm : float
        Equivalent-circle diameter up to which a hole in a grain belongs to the grain.
    """

    darkness: float = 0.245
    roughness: float = 4.8
    tolerance: float = 0.4
    thickness_nm: float = 410.0
    rim_nm: float = 145.0
    min_ecd_nm: float = 1905.0
    rough_share: float = 0.18
    hole_nm: float = 1000.0


@dataclass(frozen=True)
class WorkflowRecipe:
    """Every parameter of the workflow.

    Raises
    ------
    MudrockError
        From :meth:`from_toml`, if the text is no TOML, names an unknown key, or gives a value of
        the wrong type or outside its range.
    """

    background: BackgroundRecipe = field(default_factory=BackgroundRecipe)
    contrast: ContrastRecipe = field(default_factory=ContrastRecipe)
    pore: PoreRecipe = field(default_factory=PoreRecipe)
    silt: SiltRecipe = field(default_factory=SiltRecipe)

    @classmethod
    def from_toml(cls, text: str, source: str = "recipe") -> Self:
        """Read a recipe; whatever the text leaves out keeps its default.

        Parameters
        ----------
        text : str
            TOML with the tables ``background``, ``contrast``, ``pore``, ``silt``.
        source : str
            Named in errors.
        """
        table = parse_toml(text, source)
        sections = get_type_hints(cls)
        _refuse_unknown(table, sections, source)
        recipe = cls(
            **{
                name: _read_section(sections[name], value, f"{source}: [{name}]")
                for name, value in table.items()
            }
        )
        _check_ranges(recipe, source)
        return recipe

    def to_toml(self) -> str:
        """Write the whole recipe, defaults included."""
        return tomli_w.dumps(dataclasses.asdict(self))

    @property
    def digest(self) -> str:
        """SHA-256 of the values; comments and order do not count."""
        return hashlib.sha256(self.to_toml().encode()).hexdigest()


def load_recipe(name: str) -> WorkflowRecipe:
    """Read a packaged recipe by its name, or a recipe file.

    Parameters
    ----------
    name : str
        One of `PACKAGED`, or the path of a TOML file.

    Raises
    ------
    UsageError
        If there is no such recipe or file, or it holds what a recipe cannot.
    """
    try:
        if name in PACKAGED:
            text = (resources.files(__package__) / "recipes" / f"{name}.toml").read_text("utf-8")
        elif Path(name).exists():
            text = read_text(Path(name), "give a TOML file")
        else:
            hint = f"give a TOML file, or one of: {', '.join(PACKAGED)}"
            raise UsageError(f"{name}: no such recipe", hint)
        return WorkflowRecipe.from_toml(text, name)
    except MudrockError as error:
        raise UsageError(error.message, error.hint) from error


def _read_section(kind: type, table: Any, source: str) -> Any:
    if not isinstance(table, dict):
        raise MudrockError(f"{source} must be a table")
    hints = get_type_hints(kind)
    _refuse_unknown(table, hints, source)
    values = {}
    for key, value in table.items():
        fits = type(value) in ((int,) if hints[key] is int else (int, float))
        if not fits or not abs(value) <= _MOST:
            shown = reprlib.repr(value)
            raise MudrockError(f"{source} {key} must be a number up to {_MOST}, not {shown}")
        values[key] = hints[key](value)
    return kind(**values)


def _refuse_unknown(table: dict[str, Any], known: dict[str, Any], source: str) -> None:
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise MudrockError(f"{source} has no {unknown[0][:200]}", f"known: {', '.join(known)}")


def _check_ranges(recipe: WorkflowRecipe, source: str) -> None:
    """Refuse values without meaning; every value is at least 0."""
    for section, table in dataclasses.asdict(recipe).items():
        for key, value in table.items():
            if value < 0:
                raise MudrockError(f"{source}: [{section}] {key} = {value} is negative")
    contrast, silt = recipe.contrast, recipe.silt
    wrong = {
        "[contrast] scales is a whole number up to 4": contrast.scales > 4,
        "[contrast] reach_nm must be above 0": contrast.scales > 0 and contrast.reach_nm == 0,
        "[background] black_percent must be below 50": recipe.background.black_percent >= 50,
        "[silt] rim_nm must not exceed thickness_nm / 2": silt.rim_nm > silt.thickness_nm / 2,
        "[pore] tolerance must be below darkness": recipe.pore.tolerance >= recipe.pore.darkness,
        "[silt] tolerance must be below roughness": silt.tolerance >= silt.roughness,
    }
    for message, is_wrong in wrong.items():
        if is_wrong:
            raise MudrockError(f"{source}: {message}")
