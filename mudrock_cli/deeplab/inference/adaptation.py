"""A network set to a micrograph: what it normalises by is drawn towards the micrograph's own.

Instruments, coatings and rocks differ in noise and contrast, and a network that has seen few of
them takes the difference for texture. Where a field is large enough to show what is usual in it,
its own batch statistics are mixed with those of training (Schneider et al. 2020, arXiv:2006.16971;
Nado et al. 2020, arXiv:2006.10963). A small field may be all one grain, and is left alone.
"""

import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.inference.engine import Engine
from mudrock_cli.deeplab.inference.views import View, plan_views
from mudrock_cli.deeplab.network.statistics import Statistics
from mudrock_cli.deeplab.recipes.recipe import Recipe
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.resample import resample

_SIDE = 4  # tiles are looked at on the black squares of a board of this many squares a side
_BATCH = 4  # tiles
_LEAST_TILES = 4  # a field that holds fewer is left alone
_FULL_TILES = 16  # of one that holds as many, its own statistics have their full share


def adapt_engine(engine: Engine, micrograph: Micrograph, recipe: Recipe) -> Engine:
    """Return the engine set to a micrograph, if the recipe wants that and the field is large.

    Parameters
    ----------
    engine : Engine
        Of a network trained by the recipe; stays as it is.
    micrograph : Micrograph
        Eight tiles of it are looked at.
    recipe : Recipe
        With the share of the micrograph's own statistics, ``inference.adaptation``.
    """
    statistics = learn_statistics(engine, micrograph, recipe)
    return engine.adapt(statistics) if statistics else engine


def learn_statistics(engine: Engine, micrograph: Micrograph, recipe: Recipe) -> Statistics:
    """Return by what a network is to normalise a micrograph; nothing if it stays as trained.

    Parameters
    ----------
    engine, micrograph, recipe
        As `adapt_engine` has them.
    """
    if not recipe.inference.adaptation or min(micrograph.specimen.shape) < 1:
        return {}
    view = plan_views(micrograph, engine.tile, recipe)[0]
    share = recipe.inference.adaptation * _trust(view, engine.tile)
    if not share or not engine.statistics:
        return {}
    own = engine.look(_choose_tiles(micrograph, view, engine.tile))
    return {
        name: ((1 - share) * trained + share * own[name]).astype(np.float32)
        for name, trained in engine.statistics.items()
    }


def _trust(view: View, tile: int) -> float:
    """Return how much the statistics of a field count, 0 to 1, by the tiles that it holds."""
    rows, columns = view.grid
    tiles = rows * columns / tile**2
    if tiles < _LEAST_TILES or min(rows, columns) < tile:
        return 0.0
    return min(1.0, tiles / _FULL_TILES)


def _choose_tiles(micrograph: Micrograph, view: View, tile: int) -> npt.NDArray[np.float32]:
    """Read tiles from all over a field, shape (batches, N, tile, tile, 1)."""
    read = resample(micrograph.read_specimen(), view.shape, view.grid)
    tops, lefts = (np.linspace(0, side - tile, _SIDE).astype(int) for side in view.grid)
    tiles = [
        read(slice(int(top), int(top) + tile), slice(int(left), int(left) + tile))
        for row, top in enumerate(tops)
        for column, left in enumerate(lefts)
        if (row + column) % 2 == 0
    ]
    batches = [tiles[start :: len(tiles) // _BATCH] for start in range(len(tiles) // _BATCH)]
    return np.asarray(batches, np.float32)[..., None]
