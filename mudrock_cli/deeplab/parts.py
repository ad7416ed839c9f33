"""Parts of a micrograph that can be segmented apart from each other, seams and all."""

import math
from dataclasses import dataclass

from mudrock_cli.deeplab.recipe import InferenceRecipe
from mudrock_cli.image.resample import axis_taps
from mudrock_cli.image.tiles import TilePlan, plan_tiles

_MARGIN_SHARE = 8  # tiles reach over the edges by overlap / 8, so that no edge meets padding
_LEAST_ROWS = 4  # of tiles in a part: one or two more are computed twice at each seam


@dataclass(frozen=True)
class Part:
    """Rows of a specimen, and the rows of tiles that have a say in them.

    Parameters
    ----------
    tile_rows : range
        Rows of tiles of the whole plan.
    rows : slice
        Rows of the specimen, at the micrograph's own pixel size.
    """

    tile_rows: range
    rows: slice


def plan_model_tiles(grid: tuple[int, int], tile: int, inference: InferenceRecipe) -> TilePlan:
    """Cover a specimen at the model's pixel size, shape `grid`, with tiles."""
    return plan_tiles(grid, tile, inference.overlap, inference.overlap // _MARGIN_SHARE)


def plan_parts(
    shape: tuple[int, int], grid: tuple[int, int], tile: int, inference: InferenceRecipe, count: int
) -> list[Part]:
    """Cut a specimen into parts of whole rows; together they give what one piece would.

    Parameters
    ----------
    shape, grid : tuple of int
        Rows and columns of the specimen, at its own pixel size and at the model's.
    tile : int
        Side of a tile.
    inference : InferenceRecipe
        Overlap of the tiles.
    count : int
        How many parts, at most.
    """
    plan = plan_model_tiles(grid, tile, inference)
    total = len(plan.tops)
    count = max(1, min(count, total // _LEAST_ROWS))
    cuts = [total * number // count for number in range(count + 1)]
    ends = [*(min(max(top, 0), grid[0]) for top in plan.tops[1:]), grid[0]]
    edges = [0, *(max(0, count_ready(ends[cut - 1], grid[0], shape[0])) for cut in cuts[1:])]
    parts = []
    for cut, stop, top, bottom in zip(cuts[:-1], cuts[1:], edges[:-1], edges[1:], strict=True):
        needed = first_needed(grid[0], shape[0], top) if cut else 0
        lead = next(number for number in range(cut + 1) if plan.tops[number] + tile > needed)
        if top < bottom:
            parts.append(Part(range(lead, stop), slice(top, bottom)))
    return parts


def count_ready(done: int, size: int, new_size: int) -> int:
    """Return how many rows can be resampled from the first `done` of `size` to `new_size`."""
    # Taps reach two pixels beyond the centre, or over the pixel's own length.
    ready = new_size if done == size else math.floor((done - 3) * new_size / size)
    return min(ready, new_size)


def first_needed(size: int, new_size: int, row: int) -> int:
    """Return the first of `size` rows that a row of `new_size` is resampled from."""
    return int(axis_taps(size, new_size, slice(row, row + 1)).source.start)
