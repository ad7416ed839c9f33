"""Many settings of the workflow that have equal right, and how they vote on each pixel.

A region is silt or is not, by thresholds that nobody knows to better than some percent. One setting
takes a whole grain or leaves it; where several are asked, the share of their votes tells how sure
the workflow is, and a majority errs less than each of them. About pores that hardly matters, so
all settings have the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mudrock_cli.classical.draft import Draft
from mudrock_cli.classical.recipe import WorkflowRecipe
from mudrock_cli.image.phase import Phase
from mudrock_cli.spread import Spread

VOTERS = 7
_SPANS = {  # of silt: share of a value by which it may be moved, up and down
    "rim_nm": 0.08,
    "thickness_nm": 0.08,
    "darkness": 0.12,
    "rough_share": 0.15,
    "min_ecd_nm": 0.02,
    "roughness": 0.06,
}
_SILT_VOTE = VOTERS + 1  # so that votes for silt and for pore add up to one number


def vary_thresholds(recipe: WorkflowRecipe) -> list[WorkflowRecipe]:
    """Return `VOTERS` recipes, spread evenly over what the thresholds of one may be.

    Parameters
    ----------
    recipe : WorkflowRecipe
        The middle.

    Notes
    -----
    The recipe itself and the next points of an additive sequence, whose steps are powers of the
    root of x^(d + 1) = x + 1 in d dimensions: the generalised golden ratio, which leaves no gaps.
    In this order of the axes seven come closest to the vote of many.
    """
    root = 2.0
    for _ in range(64):
        root = (1 + root) ** (1 / (len(_SPANS) + 1))
    varied = []
    for voter in range(VOTERS):
        moved = {}
        for axis, (name, span) in enumerate(_SPANS.items(), start=1):
            place = 2 * ((0.5 + voter * root**-axis) % 1) - 1
            moved[name] = getattr(recipe.silt, name) * (1 + place * span)
        varied.append(replace(recipe, silt=replace(recipe.silt, **moved)))
    return varied


def count_votes(
    drafts: Sequence[Draft], pixel_nm: float, spread: Spread
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield by bands how many drafts see silt and pore, as one number for both.

    Parameters
    ----------
    drafts : sequence of Draft
        `VOTERS` of them.
    pixel_nm : float
        Nanometres per pixel.
    spread : Spread
        Who labels the bands.

    Yields
    ------
    ndarray of uint8, shape (rows, columns)
        Indices into the rows of `share_votes`.
    """
    ballot = np.zeros(256, np.uint8)
    ballot[Phase.SILT], ballot[Phase.PORE] = _SILT_VOTE, 1
    for bands in zip(*(draft.phases(pixel_nm, spread) for draft in drafts), strict=True):
        votes = ballot[bands[0]]
        for band in bands[1:]:
            votes += ballot[band]
        yield votes


def share_votes() -> npt.NDArray[np.float32]:
    """Return the shares of clay, silt and pore in the votes of each number of `count_votes`."""
    silt, pore = np.divmod(np.arange(_SILT_VOTE**2), _SILT_VOTE)
    shares = np.stack([VOTERS - silt - pore, silt, pore], axis=1) / VOTERS
    return shares.astype(np.float32)
