"""What the workflow looks for: few numbers, each of them a length, a share or a tolerance."""

import dataclasses
import hashlib
import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, Self, get_type_hints

import numpy as np
import numpy.typing as npt
import tomli_w

from mudrock_cli.config import parse_toml, read_text
from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.image.types import Phase

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


# The spatial scales of the workflow: lengths in nanometres brought to pixels.

_DISC = 9.0  # pixels; a level is reduced until its disc is less than twice as large
_WINDOW = 20.0  # pixels, likewise for the background's window


@dataclass(frozen=True)
class Scale:
    """One level of the pyramid.

    Parameters
    ----------
    factor : int
        The image is reduced by this power of two.
    window : int
        Side of the median window, pixels of the reduced image, odd; 1 for none.
    radius : float
        Radius of the disc, pixels of the reduced image.
    """

    factor: int
    window: int
    radius: float

    @property
    def reach(self) -> int:
        """Pixels of the full image over which a pixel has influence, enlarging included."""
        return self.factor * (self.window // 2 + 2 * math.floor(self.radius) + 2)


def plan_scales(contrast: ContrastRecipe, pixel_nm: float) -> list[Scale]:
    """Return the levels, the finest first; every level doubles the lengths of the one before.

    Parameters
    ----------
    contrast : ContrastRecipe
        Lengths of the finest level and number of levels.
    pixel_nm : float
        Nanometres per pixel.
    """
    scales = []
    for octave in range(contrast.scales):
        radius = contrast.reach_nm * 2**octave / pixel_nm
        factor = _power_of_two(radius / _DISC)
        smooth = contrast.smooth_nm * 2**octave / pixel_nm
        scales.append(Scale(factor, _odd(smooth / factor), max(radius / factor, 1.0)))
    return scales


def plan_background(background: BackgroundRecipe, pixel_nm: float) -> Scale:
    """Return the level on which the brightness of the solid is measured."""
    window = background.window_nm / pixel_nm
    factor = _power_of_two(window / _WINDOW)
    return Scale(factor, max(_odd(window / factor), 3), 0.0)


def _power_of_two(ratio: float) -> int:
    """Return the largest power of two, from 1, that does not exceed `ratio`."""
    return 1 << max(0, math.floor(math.log2(ratio))) if ratio >= 1 else 1


def _odd(length: float) -> int:
    """Return the odd number of pixels nearest to a length, from 1."""
    return max(1, 2 * round((length - 1) / 2) + 1)


# How much porosity and silt fraction depend on the thresholds.


@dataclass(frozen=True)
class Spread:
    """A fraction with the chosen thresholds, and its extremes within their tolerance."""

    low: float
    chosen: float
    high: float


def vary(recipe: WorkflowRecipe) -> tuple[WorkflowRecipe, WorkflowRecipe]:
    """Return the recipe with its thresholds lowered, and raised, by their tolerances."""
    pore, silt = recipe.pore, recipe.silt
    lowered, raised = (
        replace(
            recipe,
            pore=replace(pore, darkness=pore.darkness + sign * pore.tolerance),
            silt=replace(
                silt,
                darkness=silt.darkness + sign * pore.tolerance,
                roughness=silt.roughness + sign * silt.tolerance,
            ),
        )
        for sign in (-1, 1)
    )
    return lowered, raised


def spread(counts: Sequence[npt.NDArray[np.int64]], phase: Phase) -> Spread:
    """Compare the share of a phase between recipes.

    Parameters
    ----------
    counts : sequence of ndarray of int64, shape (256,)
        Pixels of each phase, one array for a recipe; the chosen recipe's is the last.
    phase : Phase
        Which share of the specimen.
    """
    shares = [share(each, phase) for each in counts]
    return Spread(min(shares), shares[-1], max(shares))


def share(counts: npt.NDArray[np.int64], phase: Phase) -> float:
    """Return the share of a phase in the specimen; 0 where there is no specimen."""
    return int(counts[phase]) / max(int(counts.sum() - counts[Phase.VOID]), 1)
