"""Levels of grey that thresholds are relative to: how bright the solid, how dark a deep pore is.

Each band of rows gives histograms, which add up over the image.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.classical.filters import (
    Contrast,
    Grey,
    Scale,
    enlarge,
    reduce,
    smooth_median,
)
from mudrock_cli.classical.recipe import BackgroundRecipe
from mudrock_cli.errors import MudrockError

INNER_NM = 500.0
"""From the middle of a smooth region to its edges, at least: platelets are thinner."""
MARGIN = 4
"""Rows around those of a `Strip`: a pair of rows, its neighbour, and one for odd beginnings."""

_INNER_BINS = (64, 32, 160)  # of a grey level, of 8, and of an eighth
_LAPLACE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)  # 6 deviations wide
_NOISE_DEPTH = 25.0  # standard deviations of smoothed noise that never pass for full depth
_MEDIAN_NOISE = 1.25  # standard deviation of a median over that of a mean, white noise
_MEDIAN_DEVIATION = 0.6745  # median of |x| over the standard deviation, normal distribution
_LEAST_NOISE = 0.5  # grey levels: they are whole numbers
_EDGE = 0.245  # contrast of the edge of a smooth region
_SOLID_DEPTH = 0.38  # share of the way to black below which nothing is solid
_LEAST_INNER = 0.01  # share of the pixels that must lie in the middle of smooth regions
_INNER_TEXTURE = 1.1  # times their upper quartile: just above the typical contrast of real mudrock


@dataclass(frozen=True)
class Strip:
    """Rows of a micrograph with a few around them."""

    grey: Grey  # from row `first` of the specimen on, with `MARGIN` rows at either end, or all
    first: int
    rows: slice  # the rows that count

    def count_roughness(self) -> npt.NDArray[np.int64]:
        """Count how much pixels, and means of 2 x 2 pixels, depart from their neighbours."""
        skipped = self.first % 2  # pairs of rows are the same in every strip
        height, width = (side // 2 * 2 for side in self.grey[skipped:].shape)
        pairs = self.grey[skipped : skipped + height, :width]
        reduced = reduce(pairs, 2) if pairs.size else pairs
        counts = []
        for grey, first, step in ((self.grey, self.first, 1), (reduced, -(-self.first // 2), 2)):
            top, bottom = (-(-edge // step) - first for edge in (self.rows.start, self.rows.stop))
            counts.append(_histogram(_find_roughness(grey)[top:bottom], 256))
        return np.stack(counts)


class BandStatistics(NamedTuple):
    """Histograms of one band, and its brightness.

    `inner` counts the largest contrast around each pixel (grey levels), its smoothed grey (by 8
    levels) and its contrast (eighths of a level).
    """

    smooth: npt.NDArray[np.int64]  # (256,): smoothed grey
    rough: npt.NDArray[np.int64]  # (2, 256): from `Strip.count_roughness`
    contrasts: npt.NDArray[np.int64]  # (32768,): contrast in 1 / `unit` grey levels
    inner: npt.NDArray[np.int64]  # (64, 32, 160)
    unit: int
    small: Grey  # the grey, reduced


def measure_band(
    grey: Grey, own: slice, strip: Strip, contrast: Contrast, factor: int, pixel_nm: float
) -> BandStatistics:
    """Measure one band.

    Parameters
    ----------
    grey : ndarray of uint8, shape (rows, columns)
        The band and its surroundings.
    own : slice
        The band's rows of it.
    strip : Strip
        The same rows before the micrograph was enlarged, which hides noise.
    contrast : Contrast
        Of `grey`.
    factor : int
        By which the brightness is reduced.
    pixel_nm : float
        Nanometres per pixel.
    """
    smooth, levels = contrast.smooth[own], contrast.levels[own]
    edges, greys, eighths = _INNER_BINS
    side = 2 * math.ceil(INNER_NM / pixel_nm) + 1
    whole = np.clip(contrast.levels // contrast.unit, 0, edges - 1).astype(np.uint8)
    around = cv2.dilate(whole, np.ones((side, side), np.uint8))[own].astype(np.int32)
    fine = np.clip(levels.astype(np.int32) * 8 // contrast.unit, 0, eighths - 1)
    index = (around * greys + smooth // 8) * eighths + fine
    return BandStatistics(
        smooth=_histogram(smooth, 256),
        rough=strip.count_roughness(),
        contrasts=_histogram(np.maximum(levels, 0), 1 << 15),
        inner=_histogram(index, math.prod(_INNER_BINS)).reshape(_INNER_BINS),
        unit=contrast.unit,
        small=reduce(grey[own], factor),
    )


def _find_roughness(grey: Grey) -> Grey:
    """Return how much each pixel departs from its eight neighbours, blind to slopes and edges.

    Immerkær (1996), Computer Vision and Image Understanding 64(2), 300–302.
    """
    if not grey.size:
        return grey
    return np.asarray(cv2.convertScaleAbs(cv2.filter2D(grey, cv2.CV_16S, _LAPLACE)), np.uint8)


def _histogram(values: npt.NDArray[np.integer], length: int) -> npt.NDArray[np.int64]:
    return np.bincount(values.ravel(), minlength=length)


@dataclass(frozen=True)
class ImageStatistics:
    """Levels of grey that the thresholds of one image are relative to.

    Parameters
    ----------
    solid : int
        Median grey of the specimen.
    black : float
        Grey of the deepest pore; darker where noise alone could be taken for pores.
    typical : float
        Median contrast as a share of the way from the solid to black.
    noise, texture : float
        On the same scale: standard deviation of the smoothed noise, and the contrast that a smooth
        solid has. That is the typical one without the noise's share of it (variances add), or where
        there are wide smooth regions and they have less, theirs.
    factor : int
        By which `brightness` is reduced.
    brightness : ndarray of uint8
        Brightness of the solid around each place, reduced; one pixel if it is the same everywhere.
    """

    solid: int
    black: float
    typical: float
    noise: float
    texture: float
    factor: int
    brightness: Grey

    def crop(self, window: slice) -> Self:
        """Return the statistics with the brightness of some rows, from a multiple of `factor`."""
        if self.brightness.size == 1:
            return self
        first, last = window.start // self.factor, -(-window.stop // self.factor)
        return replace(self, brightness=self.brightness[first:last])

    def background(self, shape: tuple[int, ...]) -> Grey:
        """Return the brightness of the solid, enlarged to rows and columns of pixels."""
        if self.brightness.size == 1:
            return np.full(shape, self.brightness[0, 0], np.uint8)
        return enlarge(self.brightness, self.factor, shape)


def combine_bands(
    bands: Iterable[BandStatistics],
    name: str,
    window: float,
    level: Scale,
    background: BackgroundRecipe,
) -> ImageStatistics:
    """Put together what was measured on all bands.

    Parameters
    ----------
    bands : iterable of BandStatistics
        From top to bottom.
    name : str
        Of the micrograph, for errors.
    window : float
        Side of the finest median window, pixels of the micrograph before it was enlarged.
    level : Scale
        On which the brightness of the solid is measured.
    background : BackgroundRecipe
        Percentage of black, and whether the brightness follows the place.

    Raises
    ------
    MudrockError
        If every pixel has the same grey.
    """
    counts, rough = np.zeros(256, np.int64), np.zeros((2, 256), np.int64)
    contrasts, inner = np.zeros(1 << 15, np.int64), np.zeros(_INNER_BINS, np.int64)
    small, unit = [], 1
    for band in bands:
        counts += band.smooth
        rough += band.rough
        contrasts += band.contrasts
        inner += band.inner
        small.append(band.small)
        unit = band.unit
    if np.count_nonzero(counts) < 2:
        raise MudrockError(f"{name}: every pixel has the same grey", "check how it was exported")
    solid = _percentile(counts, 50)
    noise = max(_find_noise(rough) * min(_MEDIAN_NOISE / window, 1), _LEAST_NOISE)
    black = min(_percentile(counts, background.black_percent), solid - _NOISE_DEPTH * noise)
    depth = max(solid - black, 1)
    typical = _percentile(contrasts, 50) / unit / depth
    texture = math.sqrt(max(typical**2 - (noise / depth) ** 2, 0.0))
    darkest = max(int(solid - _SOLID_DEPTH * depth) // 8 + 1, 0)
    calm = inner[: int(_EDGE * depth), darkest:-1].sum(axis=(0, 1))  # the last bin is saturated
    if calm.sum() >= max(_LEAST_INNER * counts.sum(), 1):
        texture = min(texture, _INNER_TEXTURE * _percentile(calm, 75) / 8 / depth)
    brightness = np.full((1, 1), solid, np.uint8)
    if background.window_nm > 0:
        brightness = smooth_median(np.concatenate(small), level.window)
    return ImageStatistics(solid, black, typical, noise / depth, texture, level.factor, brightness)


def _find_noise(rough: npt.NDArray[np.int64]) -> float:
    """Return the standard deviation of white noise, which means of four pixels halve.

    What departs as much from its neighbours on either scale is texture.
    """
    fine, coarse = (_percentile(counts, 50) / _MEDIAN_DEVIATION / 6 for counts in rough)
    return math.sqrt(max(fine**2 - coarse**2, 0) * 4 / 3)


def _percentile(counts: npt.NDArray[np.int64], percent: float) -> int:
    """Return the smallest value that is not below `percent` of the counted ones."""
    return int(np.searchsorted(np.cumsum(counts), percent / 100 * counts.sum()))
