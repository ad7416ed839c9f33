"""What the workflow looks for: few numbers, each of them a length, a share or a tolerance."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from mudrock_cli.config import from_toml, read_packaged, setting, to_toml
from mudrock_cli.errors import MudrockError, UsageError

_MOST = 100_000.0
"""No length in nanometres is larger: filters of whole images take for ever."""


def _length(default: float, meaning: str) -> float:
    return setting(default, f"{meaning}, nm", low=0, high=_MOST)


def _number(default: float, meaning: str) -> float:
    return setting(default, meaning, low=0, high=_MOST)


def _share(default: float, meaning: str) -> float:
    return setting(default, meaning, low=0, high=1)


@dataclass(frozen=True)
class BackgroundRecipe:
    """How bright the solid is, and how dark the deepest pore."""

    window_nm: float = _length(
        2400.0,
        "side of the window whose median is the brightness of the solid; it follows uneven "
        "illumination and the brightness steps between fields; 0 takes the whole image",
    )
    black_percent: float = _number(
        0.1, "percentage of the pixels that are as dark as the deepest pore"
    )


@dataclass(frozen=True)
class ContrastRecipe:
    """How contrast is enhanced before the threshold."""

    nm_per_pixel: float = _length(
        12.0,
        "a micrograph of coarser pixels is enlarged to this pixel size first, since windows, discs "
        "and rims are whole pixels; 0 leaves it, and so do pixels too coarse for reach_nm",
    )
    smooth_nm: float = _length(
        50.0, "side of the median window at the finest scale; 0 leaves the noise"
    )
    reach_nm: float = _length(
        90.0, "radius of the disc of top-hat and bottom-hat at the finest scale"
    )
    scales: int = setting(
        3,
        "number of spatial scales; each doubles both lengths of the one before; 0 leaves the grey",
        low=0,
        high=4,
    )
    top_hat: float = _number(0.1, "weight of the top-hat beside the bottom-hat's 1")

    def shows(self, pixel_nm: float) -> bool:
        """Return whether pixels are fine enough for the pores that the finest disc meets."""
        return self.scales == 0 or 2 * pixel_nm <= self.reach_nm


@dataclass(frozen=True)
class PoreRecipe:
    """What a pore is."""

    darkness: float = _share(
        0.205,
        "contrast from which a pixel is pore: 0 is the solid around it, 1 the deepest pore",
    )
    tolerance: float = _number(0.02, "how far darkness can be moved with equal right")
    depth: float = _share(
        0.38,
        "share of the way to the deepest pore from which a pixel is pore whatever surrounds it: "
        "the inside of pores that are larger than the largest disc",
    )
    edge_nm: float = _length(10.0, "width of the blurred rim that is taken off each pore")


@dataclass(frozen=True)
class SiltRecipe:
    """What a silt grain is."""

    darkness: float = _share(
        0.245,
        "contrast from which a pixel is no smooth solid in any image, on the scale of the pores'",
    )
    roughness: float = _number(
        4.8,
        "contrast from which a pixel is no smooth solid, in units of the image's typical contrast, "
        "what noise adds to it left out",
    )
    tolerance: float = _number(0.4, "how far roughness can be moved with equal right")
    thickness_nm: float = _length(410.0, "diameter of the disc that must fit into a grain")
    rim_nm: float = _length(145.0, "width of the rim of a grain that is left to the clay")
    min_ecd_nm: float = _length(
        1905.0, "equivalent-circle diameter from which a grain is silt, its rim included"
    )
    rough_share: float = _share(
        0.18,
        "largest share of a grain's pixels that have twice the typical contrast; what is rougher "
        "is an aggregate of clay",
    )
    hole_nm: float = _length(
        1000.0, "equivalent-circle diameter up to which a hole in a grain belongs to the grain"
    )


@dataclass(frozen=True)
class WorkflowRecipe:
    """Every parameter of the workflow; read and written by `mudrock_cli.config`."""

    background: BackgroundRecipe = field(default_factory=BackgroundRecipe)
    contrast: ContrastRecipe = field(default_factory=ContrastRecipe)
    pore: PoreRecipe = field(default_factory=PoreRecipe)
    silt: SiltRecipe = field(default_factory=SiltRecipe)

    def find_conflicts(self) -> Iterator[tuple[str, Any, str]]:
        """Yield values that exclude each other; see `mudrock_cli.config.HasConflicts`."""
        black, contrast = self.background.black_percent, self.contrast
        pore, silt = self.pore, self.silt
        if black >= 50:
            yield "background.black_percent", black, "below 50"
        if contrast.scales > 0 and contrast.reach_nm == 0:
            yield "contrast.reach_nm", 0.0, "above 0"
        if silt.rim_nm > silt.thickness_nm / 2:
            yield "silt.rim_nm", silt.rim_nm, "up to thickness_nm / 2"
        if pore.tolerance >= pore.darkness:
            yield "pore.tolerance", pore.tolerance, "below darkness"
        if silt.tolerance >= silt.roughness:
            yield "silt.tolerance", silt.tolerance, "below roughness"

    def tells_silt(self, shape: tuple[int, int], pixel_nm: float) -> bool:
        """Return whether a field of so many rows and columns is large enough for silt grains."""
        return min(shape) * pixel_nm >= 2 * self.silt.min_ecd_nm

    @property
    def outlines(self) -> str:
        """``exact`` where no rim is taken off pores and grains, else ``labels``."""
        return "labels" if self.silt.rim_nm or self.pore.edge_nm else "exact"

    @property
    def digest(self) -> str:
        """SHA-256 of the values; comments and order do not count."""
        return hashlib.sha256(to_toml(self).encode()).hexdigest()


def load_recipe(name: str) -> WorkflowRecipe:
    """Read a packaged recipe by its name, or a recipe file.

    Parameters
    ----------
    name : str
        One of ``groundtruth``, ``exact`` and ``threshold``, or the path of a TOML file.

    Raises
    ------
    UsageError
        If there is no such recipe or file, or it holds what a recipe cannot.
    """
    try:
        return from_toml(WorkflowRecipe, *read_packaged("mudrock_cli.classical", name))
    except MudrockError as error:
        raise UsageError(error.message, error.hint) from error


def vary_thresholds(recipe: WorkflowRecipe) -> tuple[WorkflowRecipe, WorkflowRecipe]:
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
