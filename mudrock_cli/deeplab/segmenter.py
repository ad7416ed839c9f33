"""A micrograph to phases, band by band: to the model's pixel size, predicted, and back."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.engine import Engine
from mudrock_cli.deeplab.recipe import InferenceRecipe
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.phase import Phase
from mudrock_cli.image.resample import axis_taps, resample, scaled_shape
from mudrock_cli.image.tiles import blend_tiles, plan_tiles
from mudrock_cli.image.window import Box, Reader

Probabilities = npt.NDArray[np.float32]
_Band = tuple[slice, Probabilities]

_CHUNK_PIXELS = 1 << 21  # of the image, whose probabilities stand in memory at once
_MARGIN_SHARE = 8  # tiles reach over the edges by overlap / 8, so that no edge meets padding
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
        self._bands = bands
        self._factors = np.exp(np.diag(bonus)).astype(np.float32)  # off the diagonal: 1
        self._held: list[npt.NDArray[np.uint8]] = []

    def weigh(self, probabilities: Probabilities) -> Probabilities:
        """Weigh the next rows, shape (rows, columns, 3); returns probabilities that sum to 1."""
        weighed = probabilities * self._factors[self._take(len(probabilities))]
        weighed /= weighed.sum(axis=2, keepdims=True)
        return weighed

    def _take(self, rows: int) -> npt.NDArray[np.uint8]:
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
    if box.top:
        yield _void_band(slice(0, box.top), width)
    if box.height and box.width:
        factor = resample_factor(micrograph, nm_per_pixel)
        grid = scaled_shape(box.shape, factor)
        read = resample(_read_inside(micrograph, box), box.shape, grid)
        bands = _predict_bands(read, grid, engine, inference, micrograph.name, advance)
        for rows, probabilities in _resample_bands(bands, grid, box.shape):
            if opinion:
                probabilities = opinion.weigh(probabilities)
            yield _decide(rows, probabilities, box, width)
    elif box.height:
        yield _void_band(box.rows, width)
    if box.bottom < micrograph.shape[0]:
        yield _void_band(slice(box.bottom, micrograph.shape[0]), width)


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
    grid: tuple[int, int],
    engine: Engine,
    inference: InferenceRecipe,
    name: str,
    advance: Callable[[int, int], None],
) -> Iterator[_Band]:
    """Yield blended probabilities on the model's grid."""
    margin = inference.overlap // _MARGIN_SHARE
    plan = plan_tiles(grid, engine.tile, inference.overlap, margin)
    done = 0

    def compute(tiles: npt.NDArray[Any]) -> Probabilities:
        nonlocal done
        total = engine.predict(tiles)
        for axes in _MIRRORS[: inference.flips - 1]:
            total += np.flip(engine.predict(np.flip(tiles, axes)), axes)
        if not np.isfinite(total.sum()):
            raise MudrockError(f"{name}: the network gave numbers that are no probabilities")
        done += len(tiles)
        advance(done, len(plan))
        total /= inference.flips
        return total

    return blend_tiles(read, plan, compute, engine.batch)


def _resample_bands(
    bands: Iterator[_Band], grid: tuple[int, int], shape: tuple[int, int]
) -> Iterator[_Band]:
    """Bring bands of the model's grid to the image's, in chunks of bounded size."""
    step = max(1, _CHUNK_PIXELS // shape[1])
    across = axis_taps(grid[1], shape[1], slice(None))
    scale = grid[0] / shape[0]
    held: Probabilities | None = None
    first = done = 0
    for rows, band in bands:
        held = band if held is None else np.concatenate([held, band])
        # The rows whose taps (two beyond the centre, or the pixel's own length) are all here.
        ready = shape[0] if rows.stop == grid[0] else math.floor((rows.stop - 3) / scale)
        while done < min(ready, shape[0]):
            wanted = slice(done, min(done + step, ready, shape[0]))
            vertical = axis_taps(grid[0], shape[0], wanted)
            source = slice(vertical.source.start - first, vertical.source.stop - first)
            block = vertical.apply(held[source], 0, vertical.source.start)
            yield wanted, across.apply(block, 1, 0) if grid[1] != shape[1] else block
            done = wanted.stop
        keep = axis_taps(grid[0], shape[0], slice(done, done + 1)).source.start
        if done < shape[0]:
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


def _void_band(rows: slice, width: int) -> SegmentedBand:
    shape = (rows.stop - rows.start, width)
    return SegmentedBand(rows, np.full(shape, Phase.VOID, np.uint8), np.zeros(shape, np.uint8), 0.0)
