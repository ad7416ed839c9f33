"""At which magnifications the network is shown a micrograph, and in which parts."""

import math
from dataclasses import dataclass
from itertools import pairwise

from mudrock_cli.deeplab.recipes.recipe import Recipe
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.resample import axis_taps, scale_factor, scaled_shape
from mudrock_cli.image.tiles import TilePlan, plan_tiles

_MARGIN_SHARE = 8  # tiles reach over the edges by overlap / 8, so that no edge meets padding
_LEAST_ROWS = 4  # of tiles in a part: one or two more are computed twice at each seam


@dataclass(frozen=True)
class View:
    """A specimen at one magnification, covered with tiles.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the specimen at the micrograph's own pixel size.
    plan : TilePlan
        Covers the specimen as the network is shown it.
    """

    shape: tuple[int, int]
    plan: TilePlan

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns that the network is shown."""
        return self.plan.shape

    def ready(self, number: int) -> int:
        """Return how many of the specimen's rows are known from the first rows of tiles."""
        below = self.plan.tops[number:]
        done = min(max(below[0], 0), self.grid[0]) if below else self.grid[0]
        return max(0, count_ready(done, self.grid[0], self.shape[0]))

    def needed(self, rows: slice) -> range:
        """Return the rows of tiles that have a say in rows of the specimen."""
        first = first_needed(self.grid[0], self.shape[0], rows.start) if rows.start else 0
        count = len(self.plan.tops)
        lead = next(n for n in range(count) if self.plan.tops[n] + self.plan.tile > first)
        stop = next(n for n in range(1, count + 1) if self.ready(n) >= rows.stop)
        return range(min(lead, stop - 1), stop)


def resample_factor(micrograph: Micrograph, nm_per_pixel: float) -> float:
    """Return the micrograph's pixel size over the model's; 1 where it has none, or nearly."""
    return scale_factor(micrograph.pixel_size.nm, nm_per_pixel) if micrograph.pixel_size else 1.0


def plan_views(micrograph: Micrograph, tile: int, recipe: Recipe) -> list[View]:
    """Return how the network is shown a micrograph: once for each of the recipe's zooms.

    A few grains tell little of how large they are, so a field that one tile covers is shown at the
    magnifications of its own that the recipe may have.

    Parameters
    ----------
    micrograph : Micrograph
        Of any pixel size; one without is taken as if it had the model's.
    tile : int
        Side of a tile.
    recipe : Recipe
        Pixel size, zooms, close-ups, overlap of the tiles.
    """
    inference, shape = recipe.inference, micrograph.specimen.shape
    factor = resample_factor(micrograph, recipe.data.nm_per_pixel)
    margin = inference.overlap // _MARGIN_SHARE
    covered = max(scaled_shape(shape, factor)) <= tile
    zooms = (inference.close_ups if covered else ()) or inference.zooms
    return [
        View(shape, plan_tiles(scaled_shape(shape, factor * zoom), tile, inference.overlap, margin))
        for zoom in zooms
    ]


def plan_parts(view: View, count: int) -> list[slice]:
    """Cut a specimen into parts of whole rows; together they give what one piece would.

    Parameters
    ----------
    view : View
        The first one of the specimen.
    count : int
        How many parts, at most.

    Returns
    -------
    list of slice
        Rows of the specimen at the micrograph's own pixel size.
    """
    total = len(view.plan.tops)
    count = max(1, min(count, total // _LEAST_ROWS))
    edges = [0, *(view.ready(total * number // count) for number in range(1, count + 1))]
    return [slice(top, bottom) for top, bottom in pairwise(edges) if top < bottom]


def count_ready(done: int, size: int, new_size: int) -> int:
    """Return how many rows can be resampled from the first `done` of `size` to `new_size`."""
    # Taps reach two pixels beyond the centre, or over the pixel's own length.
    ready = new_size if done == size else math.floor((done - 3) * new_size / size)
    return min(ready, new_size)


def first_needed(size: int, new_size: int, row: int) -> int:
    """Return the first of `size` rows that a row of `new_size` is resampled from."""
    return int(axis_taps(size, new_size, slice(row, row + 1)).source.start)
