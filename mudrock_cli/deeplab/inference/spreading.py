"""A mosaic segmented in parts, wherever they are done; the bands come back in order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.inference.adaptation import learn_statistics
from mudrock_cli.deeplab.inference.engine import Engine
from mudrock_cli.deeplab.inference.opinion import Opinion
from mudrock_cli.deeplab.inference.segmenter import SegmentedBand, segment_part, void_bands
from mudrock_cli.deeplab.inference.views import plan_parts, plan_views
from mudrock_cli.deeplab.network.statistics import Statistics
from mudrock_cli.deeplab.recipes.recipe import Recipe
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.packed import Packed
from mudrock_cli.spread import Spread


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
    spread: Spread,
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
    spread : Spread
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
            (statistics,) = spread(partial(_learn, start_engine, recipe), [micrograph])
            start = partial(_adapt, start_engine, statistics)
        work = partial(_segment_packed, micrograph, start, recipe, confidence)
        for number, bands in enumerate(spread(work, [_brief(part, opinion) for part in parts])):
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
