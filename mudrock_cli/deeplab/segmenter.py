"""A micrograph to phases, band by band: to the model's pixel size, predicted, and back."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.engine import Engine
from mudrock_cli.deeplab.parts import Part, count_ready, first_needed, plan_model_tiles
from mudrock_cli.deeplab.recipe import InferenceRecipe
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.phase import Phase
from mudrock_cli.image.resample import axis_taps, resample, scaled_shape
from mudrock_cli.image.tiles import TilePlan, blend_tiles
from mudrock_cli.image.window import Box, Reader

Probabilities = npt.NDArray[np.float32]
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
        Sum over the specimen's pixels of -sum(p ln p) / ln 3: 0 where the network is certain,
        1 where it knows nothing.
    """

    rows: slice
    phases: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.uint8]
    entropy: float


class Opinion:
    """Phases that another method found, and how much they count.

    Parameters
    ----------
    bands : iterator of ndarray of uint8
        The specimen's rows from top to bottom, in bands of any height.
    bonus : tuple of float
        What the other method's clay, silt and pore add to the logarithm of that phase's
        probability: evidence that is taken as independent of the network's.
    """

    def __init__(
        self, bands: Iterator[npt.NDArray[np.uint8]], bonus: tuple[float, float, float]
    ) -> None:
        self.bonus = bonus
        self._bands = bands
        self._factors = np.exp(np.diag(bonus)).astype(np.float32)  # off the diagonal: 1
        self._held: list[npt.NDArray[np.uint8]] = []

    def weigh(self, probabilities: Probabilities) -> Probabilities:
        """Weigh the next rows, shape (rows, columns, 3); returns probabilities that sum to 1."""
        weighed = probabilities * self._factors[self.take(len(probabilities))]
        weighed /= weighed.sum(axis=2, keepdims=True)
        return weighed

    def take(self, rows: int) -> npt.NDArray[np.uint8]:
        """Return the phases of the next rows, shape (rows, columns)."""
        while sum(map(len, self._held)) < rows:
            self._held.append(next(self._bands))
        block = np.concatenate(self._held) if len(self._held) > 1 else self._held[0]
        self._held = [block[rows:]]
        return block[:rows]


Ask = Callable[[Micrograph], Opinion | None]
"""Gives another method's opinion of a micrograph, if it has one."""


def resample_factor(micrograph: Micrograph, nm_per_pixel: float) -> float:
    """Return the micrograph's pixel size over the model's; 1 where it has none."""
    return micrograph.pixel_size.nm / nm_per_pixel if micrograph.pixel_size else 1.0


def segment_bands(
    micrograph: Micrograph,
    engine: Engine,
    inference: InferenceRecipe,
    nm_per_pixel: float,
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
        Runs the network.
    inference : InferenceRecipe
        Overlap of tiles and mirrored views.
    nm_per_pixel : float
        Pixel size at which the network was trained.
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
        yield from segment_part(micrograph, engine, inference, nm_per_pixel, advance, opinion)
    else:
        yield from void_bands(box.rows, width)
    yield from void_bands(slice(box.bottom, micrograph.shape[0]), width)


def segment_part(
    micrograph: Micrograph,
    engine: Engine,
    inference: InferenceRecipe,
    nm_per_pixel: float,
    advance: Callable[[int, int], None] = lambda done, total: None,
    opinion: Opinion | None = None,
    part: Part | None = None,
) -> Iterator[SegmentedBand]:
    """Segment rows of the specimen, all by default; see `segment_bands`.

    Parameters
    ----------
    micrograph, engine, inference, nm_per_pixel, advance
        As `segment_bands` has them.
    opinion : Opinion, optional
        On the rows of the part.
    part : Part, optional
        From `plan_parts`.
    """
    box, width = micrograph.specimen, micrograph.shape[1]
    grid = scaled_shape(box.shape, resample_factor(micrograph, nm_per_pixel))
    read = resample(_read_inside(micrograph, box), box.shape, grid)
    plan = plan_model_tiles(grid, engine.tile, inference)
    part = part or Part(range(len(plan.tops)), slice(0, box.height))
    bands = _predict_bands(read, plan, part, engine, inference, micrograph.name, advance)
    for rows, probabilities in _resample_bands(bands, grid, box.shape, part.rows.start):
        if opinion:
            probabilities = opinion.weigh(probabilities)
        yield _decide(rows, probabilities, box, width)


def _read_inside(micrograph: Micrograph, box: Box) -> Reader:
    def read(rows: slice, columns: slice) -> npt.NDArray[np.uint8]:
        window = Box.from_slices(rows, columns, box.shape)
        return micrograph.read(
            slice(box.top + window.top, box.top + window.bottom),
            slice(box.left + window.left, box.left + window.right),
        )

    return read


def _predict_bands(
    read: Reader,
    plan: TilePlan,
    part: Part,
    engine: Engine,
    inference: InferenceRecipe,
    name: str,
    advance: Callable[[int, int], None],
) -> Iterator[_Band]:
    """Yield blended probabilities on the model's grid."""
    done, total_tiles = 0, len(part.tile_rows) * len(plan.lefts)

    def compute(tiles: npt.NDArray[Any]) -> Probabilities:
        nonlocal done
        total = engine.predict(tiles)
        for axes in _MIRRORS[: inference.flips - 1]:
            total += np.flip(engine.predict(np.flip(tiles, axes)), axes)
        if not np.isfinite(total.sum()):
            raise MudrockError(f"{name}: the network gave numbers that are no probabilities")
        done += len(tiles)
        advance(done, total_tiles)
        total /= inference.flips
        return total

    return blend_tiles(read, plan, compute, engine.batch, part.tile_rows)


def _resample_bands(
    bands: Iterator[_Band], grid: tuple[int, int], shape: tuple[int, int], start: int
) -> Iterator[_Band]:
    """Bring bands of the model's grid to the image's rows from `start` on, in bounded chunks."""
    step = max(1, _CHUNK_PIXELS // shape[1])
    across = axis_taps(grid[1], shape[1], slice(None))
    held: Probabilities | None = None
    first, done = 0, start
    for rows, band in bands:
        if held is None:
            held, first = band, rows.start
        else:
            held = np.concatenate([held, band])
        ready = count_ready(rows.stop, grid[0], shape[0])
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


def _decide(rows: slice, probabilities: Probabilities, box: Box, width: int) -> SegmentedBand:
    """Take the most probable phase of each pixel; `rows` count from the top of `box`."""
    band = _void_band(slice(box.top + rows.start, box.top + rows.stop), width)
    band.phases[:, box.columns] = probabilities.argmax(axis=2)
    safe = np.clip(probabilities, 1e-7, 1)  # cubic interpolation oversteps 0 and 1 a little
    highest = np.maximum(np.maximum(safe[..., 0], safe[..., 1]), safe[..., 2])
    band.confidence[:, box.columns] = np.rint(255 * highest)
    terms = np.log(safe)
    terms *= safe
    entropy = -float(terms.sum(dtype=np.float64)) / math.log(3)
    return SegmentedBand(band.rows, band.phases, band.confidence, entropy)


def void_bands(rows: slice, width: int) -> Iterator[SegmentedBand]:
    """Yield rows without specimen, if there are any, as one band."""
    if rows.start < rows.stop:
        yield _void_band(rows, width)


def _void_band(rows: slice, width: int) -> SegmentedBand:
    shape = (rows.stop - rows.start, width)
    return SegmentedBand(rows, np.full(shape, Phase.VOID, np.uint8), np.zeros(shape, np.uint8), 0.0)
