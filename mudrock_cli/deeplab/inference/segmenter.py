"""A micrograph to phases, band by band: to the model's pixel size, predicted, and back."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.inference.adaptation import adapt_engine
from mudrock_cli.deeplab.inference.engine import Engine, Probabilities
from mudrock_cli.deeplab.inference.opinion import Opinion
from mudrock_cli.deeplab.inference.views import (
    View,
    count_ready,
    first_needed,
    plan_views,
)
from mudrock_cli.deeplab.recipes.recipe import Recipe
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.bands import Rows
from mudrock_cli.image.enlargement import Distinct
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.phase import Phase
from mudrock_cli.image.resample import axis_taps, resample
from mudrock_cli.image.tiles import blend_tiles
from mudrock_cli.image.window import Box, Reader

_Band = tuple[slice, Probabilities]

_CHUNK_PIXELS = 1 << 21  # of the image, whose probabilities stand in memory at once
_MIRRORS = ((2,), (1,), (1, 2))  # axes of a batch of tiles; N views take the first N - 1


@dataclass(frozen=True)
class SegmentedBand:
    """Whole rows of a segmented micrograph.

    Parameters
    ----------
    rows : slice
        Rows of the micrograph.
    phases : ndarray of uint8, shape (rows, columns)
        Values of `Phase`, ``VOID`` outside the specimen.
    confidence : ndarray of uint8, shape (rows, columns)
        Probability of the phase, 255 for 1; 0 outside the specimen.
    entropy : float
        Sum over the specimen's pixels of -sum(p ln p) / ln 3 of what the network alone says: 0
        where it is certain, 1 where it knows nothing.
    """

    rows: slice
    phases: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.uint8]
    entropy: float


def segment_bands(
    micrograph: Micrograph,
    engine: Engine,
    recipe: Recipe,
    advance: Callable[[int, int], None] = lambda done, total: None,
    opinion: Opinion | None = None,
) -> Iterator[SegmentedBand]:
    """Segment a micrograph and yield it from top to bottom, every row once.

    Memory grows with the width of the image, not with its height.

    Parameters
    ----------
    micrograph : Micrograph
        Read through windows; resampled to the model's pixel size if it has one itself.
    engine : Engine
        Runs the network; is set to the micrograph where the recipe wants it.
    recipe : Recipe
        Pixel size at which the network was trained, overlap of tiles, views to average.
    advance : callable
        ``advance(done, total)`` in tiles.
    opinion : Opinion, optional
        What another method sees, to be weighed with the network's probabilities.

    Raises
    ------
    MudrockError
        If the micrograph cannot be read, or the network gives what is no probability.
    """
    box, width = micrograph.specimen, micrograph.shape[1]
    yield from void_bands(slice(0, box.top), width)
    if box.height and box.width:
        engine, whole = adapt_engine(engine, micrograph, recipe), slice(0, box.height)
        yield from segment_part(micrograph, engine, recipe, whole, advance, opinion)
    else:
        yield from void_bands(box.rows, width)
    yield from void_bands(slice(box.bottom, micrograph.shape[0]), width)


def segment_part(
    micrograph: Micrograph,
    engine: Engine,
    recipe: Recipe,
    part: slice,
    advance: Callable[[int, int], None] = lambda done, total: None,
    opinion: Opinion | None = None,
) -> Iterator[SegmentedBand]:
    """Segment rows of the specimen; see `segment_bands`.

    Parameters
    ----------
    micrograph, recipe, advance
        As `segment_bands` has them.
    engine : Engine
        Set to the micrograph already.
    part : slice
        Rows of the specimen, from `plan_parts`.
    opinion : Opinion, optional
        On the rows of the part.
    """
    box, width = micrograph.specimen, micrograph.shape[1]
    views = plan_views(micrograph, engine.tile, recipe)
    tiles = sum(len(view.needed(part)) * len(view.plan.lefts) for view in views)
    look = _Look(engine, recipe.inference.flips, micrograph.name, _count_up(advance, tiles))
    first, *others = (_view_bands(micrograph.read_specimen(), v, part, look) for v in views)
    rest = [Rows(probabilities for _, probabilities in bands) for bands in others]
    for rows, probabilities in first:
        for view in rest:
            probabilities += view.take(rows.stop - rows.start)
        if rest:
            probabilities /= len(views)
        entropy = _add_up_entropy(probabilities)  # the network's own: a vote hides its doubt
        if opinion:
            probabilities = opinion.weigh(probabilities)
        yield _decide(rows, probabilities, entropy, box, width)


def restore_bands(bands: Iterable[SegmentedBand], distinct: Distinct) -> Iterator[SegmentedBand]:
    """Yield bands of a micrograph without copied rows and columns on the pixels of its file."""
    for band in bands:
        yield SegmentedBand(
            distinct.restore_rows(band.rows),
            distinct.restore(band.phases, band.rows),
            distinct.restore(band.confidence, band.rows),
            band.entropy * distinct.copies,
        )


def _count_up(advance: Callable[[int, int], None], total: int) -> Callable[[int], None]:
    """Return what is told of tiles as they are done, and tells how many are."""
    done = 0

    def add(count: int) -> None:
        nonlocal done
        done += count
        advance(done, total)

    return add


@dataclass(frozen=True)
class _Look:
    """Looks at tiles from as many sides as are wanted."""

    engine: Engine
    flips: int
    name: str
    add: Callable[[int], None]

    def __call__(self, tiles: npt.NDArray[Any]) -> Probabilities:
        total = self.engine.predict(tiles)
        for axes in _MIRRORS[: self.flips - 1]:
            total += np.flip(self.engine.predict(np.flip(tiles, axes)), axes)
        if not np.isfinite(total.sum()):
            raise MudrockError(f"{self.name}: the network gave numbers that are no probabilities")
        self.add(len(tiles))
        total /= self.flips
        return total


def _view_bands(read: Reader, view: View, part: slice, look: _Look) -> Iterator[_Band]:
    """Yield the probabilities of one view, on the specimen's rows, in bounded chunks."""
    grid, shape, tile_rows = view.grid, view.shape, view.needed(part)
    shown = resample(read, shape, grid)
    step = max(1, _CHUNK_PIXELS // shape[1])
    across = axis_taps(grid[1], shape[1], slice(None))
    held: Probabilities | None = None
    first, done = 0, part.start
    for rows, band in blend_tiles(shown, view.plan, look, look.engine.batch, tile_rows):
        if held is None:
            held, first = band, rows.start
        else:
            held = np.concatenate([held, band])
        ready = min(count_ready(rows.stop, grid[0], shape[0]), part.stop)
        while done < ready:
            wanted = slice(done, min(done + step, ready))
            vertical = axis_taps(grid[0], shape[0], wanted)
            source = slice(vertical.source.start - first, vertical.source.stop - first)
            block = vertical.apply(held[source], 0, vertical.source.start)
            yield wanted, across.apply(block, 1, 0) if grid[1] != shape[1] else block
            done = wanted.stop
        if done < shape[0]:
            keep = min(first_needed(grid[0], shape[0], done), rows.stop)
            held, first = held[keep - first :], keep


def _add_up_entropy(probabilities: Probabilities) -> float:
    """Return the sum over pixels of -sum(p ln p) / ln 3."""
    safe = np.clip(probabilities, 1e-7, 1)
    terms = np.log(safe)
    terms *= safe
    return -float(terms.sum(dtype=np.float64)) / math.log(3)


def _decide(
    rows: slice, probabilities: Probabilities, entropy: float, box: Box, width: int
) -> SegmentedBand:
    """Take the most probable phase of each pixel; `rows` count from the top of `box`."""
    band = _void_band(slice(box.top + rows.start, box.top + rows.stop), width)
    band.phases[:, box.columns] = probabilities.argmax(axis=2)
    safe = np.clip(probabilities, 1e-7, 1)  # cubic interpolation oversteps 0 and 1 a little
    highest = np.maximum(np.maximum(safe[..., 0], safe[..., 1]), safe[..., 2])
    band.confidence[:, box.columns] = np.rint(255 * highest)
    return SegmentedBand(band.rows, band.phases, band.confidence, entropy)


def void_bands(rows: slice, width: int) -> Iterator[SegmentedBand]:
    """Yield rows without specimen, if there are any, as one band."""
    if rows.start < rows.stop:
        yield _void_band(rows, width)


def _void_band(rows: slice, width: int) -> SegmentedBand:
    shape = (rows.stop - rows.start, width)
    return SegmentedBand(rows, np.full(shape, Phase.VOID, np.uint8), np.zeros(shape, np.uint8), 0.0)
