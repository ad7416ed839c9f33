"""How much porosity and silt fraction depend on the thresholds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mudrock_cli.classical.recipe import WorkflowRecipe
from mudrock_cli.image.phase import Phase


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
