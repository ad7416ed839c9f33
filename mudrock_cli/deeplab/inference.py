"""Another method's say in what the network sees."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.engine import Engine, Probabilities
from mudrock_cli.deeplab.recipe import Recipe
from mudrock_cli.deeplab.weights import Statistics
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.resample import Deduplicated, axis_taps, resample, scale_factor, scaled_shape
from mudrock_cli.image.tiles import Packed, Rows, TilePlan, blend_tiles, plan_tiles
from mudrock_cli.image.types import Box, Map, Phase, Reader


class Opinion:
    """What another method votes for, and how much it counts.

    Parameters
    ----------
    bands : iterator of ndarray of uint8
        Votes on the specimen's rows from top to bottom, in bands of any height: rows of `shares`.
    shares : ndarray of float32, shape (votes, 3)
        How a vote is divided among clay, silt and pore.
    weights : tuple of float
        By how much an undivided vote shifts logarithms of probabilities, as evidence that is taken
        as independent of the network's. A vote for clay takes the first from silt, one for silt the
        second from clay, either adds the third to both: there is no pore. A vote for pore adds the
        fourth to pore.
    tells_silt : bool
        Whether it can tell silt from clay. If not, either means only that there is no pore.
    """

    def __init__(
        self,
        bands: Iterator[npt.NDArray[np.uint8]],
        shares: npt.NDArray[np.float32],
        weights: tuple[float, float, float, float],
        *,
        tells_silt: bool = True,
    ) -> None:
        self.shares, self.weights, self.tells_silt = shares, weights, tells_silt
        self._votes = Rows(bands)
        clay, silt, solid, pore = weights
        if not tells_silt:
            clay = silt = 0.0
        # What is said (row) for what is there (column).
        evidence = np.array([[solid, solid - clay, 0], [solid - silt, solid, 0], [0, 0, pore]])
        self._factors = np.exp(shares @ evidence).astype(np.float32)

    def weigh(self, probabilities: Probabilities) -> Probabilities:
        """Weigh the next rows, shape (rows, columns, 3); returns probabilities that sum to 1."""
        weighed: Probabilities = probabilities * self._factors[self.take(len(probabilities))]
        weighed /= weighed.sum(axis=2, keepdims=True)
        return weighed

    def take(self, rows: int) -> npt.NDArray[np.uint8]:
        """Return the votes on the next rows, shape (rows, columns)."""
        return self._votes.take(rows)


Ask = Callable[[Micrograph], Opinion | None]
"""Gives another method's opinion of a micrograph, if it has one."""


# At which magnifications the network is shown a micrograph, and in which parts.

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


# A network set to a micrograph: what it normalises by is drawn towards the micrograph's own.
#
# Instruments, coatings and rocks differ in noise and contrast, and a network that has seen few of
# them takes the difference for texture. Where a field is large enough to show what is usual in it,
# its own batch statistics are mixed with those of training (Schneider et al. 2020,
# arXiv:2006.16971;
# Nado et al. 2020, arXiv:2006.10963). A small field may be all one grain, and is left alone.

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


# A micrograph to phases, band by band: to the model's pixel size, predicted, and back.

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


def restore_bands(
    bands: Iterable[SegmentedBand], deduplicated: Deduplicated
) -> Iterator[SegmentedBand]:
    """Yield bands of a micrograph without copied rows and columns on the pixels of its file."""
    for band in bands:
        yield SegmentedBand(
            deduplicated.restore_rows(band.rows),
            deduplicated.restore(band.phases, band.rows),
            deduplicated.restore(band.confidence, band.rows),
            band.entropy * deduplicated.area_factor,
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


# A mosaic segmented in parts, wherever they are done; the bands come back in order.


@dataclass(frozen=True)
class _Task:
    """Rows of the specimen, and what another method votes there, with all that `Opinion` takes."""

    part: slice
    votes: Packed | None = None
    shares: npt.NDArray[np.float32] | None = None
    weights: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    tells_silt: bool = True


@dataclass(frozen=True)
class _PackedBand:
    """A `SegmentedBand`, compressed; without its confidence where that is not wanted."""

    rows: slice
    phases: Packed
    confidence: Packed | None
    entropy: float


def spread_bands(
    micrograph: Micrograph,
    start_engine: Callable[[], Engine],
    recipe: Recipe,
    *,
    mapper: Map,
    tasks: int,
    confidence: bool,
    advance: Callable[[int, int], None] = lambda done, total: None,
    opinion: Opinion | None = None,
) -> Iterator[SegmentedBand]:
    """Segment a micrograph in parts, and yield what `segment_bands` would.

    At a seam between parts one or two rows of tiles are computed in both.

    Parameters
    ----------
    micrograph, recipe, opinion
        As `segment_bands` has them.
    start_engine : callable
        Starts the engine, or returns the one that the process has.
    mapper : Map
        Who does the parts.
    tasks : int
        How many parts, at most.
    confidence : bool
        Whether the confidence is wanted; 0 otherwise.
    advance : callable
        ``advance(done, total)`` in rows.
    """
    box, width = micrograph.specimen, micrograph.shape[1]
    yield from void_bands(slice(0, box.top if box.width else box.bottom), width)
    if box.height and box.width:
        parts = plan_parts(plan_views(micrograph, recipe.inference.tile, recipe)[0], tasks)
        start = start_engine
        if recipe.inference.adaptation:
            (statistics,) = mapper(partial(_learn, start_engine, recipe), [micrograph])
            start = partial(_adapt, start_engine, statistics)
        work = partial(_segment_packed, micrograph, start, recipe, confidence)
        for number, bands in enumerate(mapper(work, [_brief(part, opinion) for part in parts])):
            yield from (_unpack(band) for band in bands)
            advance(parts[number].stop, box.height)
    yield from void_bands(slice(box.bottom, micrograph.shape[0]), width)


def _learn(
    start_engine: Callable[[], Engine], recipe: Recipe, micrograph: Micrograph
) -> Statistics:
    return learn_statistics(start_engine(), micrograph, recipe)


def _adapt(start_engine: Callable[[], Engine], statistics: Statistics) -> Engine:
    return start_engine().adapt(statistics) if statistics else start_engine()


def _brief(part: slice, opinion: Opinion | None) -> _Task:
    if opinion is None:
        return _Task(part)
    votes = Packed.pack(opinion.take(part.stop - part.start))
    return _Task(part, votes, opinion.shares, opinion.weights, opinion.tells_silt)


def _segment_packed(
    micrograph: Micrograph,
    start_engine: Callable[[], Engine],
    recipe: Recipe,
    confidence: bool,
    task: _Task,
) -> list[_PackedBand]:
    opinion = None
    if task.votes is not None and task.shares is not None:
        votes = iter([task.votes.unpack()])
        opinion = Opinion(votes, task.shares, task.weights, tells_silt=task.tells_silt)
    bands = segment_part(micrograph, start_engine(), recipe, task.part, opinion=opinion)
    return [
        _PackedBand(
            band.rows,
            Packed.pack(band.phases),
            Packed.pack(band.confidence) if confidence else None,
            band.entropy,
        )
        for band in bands
    ]


def _unpack(band: _PackedBand) -> SegmentedBand:
    phases = band.phases.unpack()
    confidence = band.confidence.unpack() if band.confidence else np.zeros_like(phases)
    return SegmentedBand(band.rows, phases, confidence, band.entropy)
