"""What a first look at one band of a micrograph tells: counts, which add up over bands."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.classical.bands import Band
from mudrock_cli.classical.contrast import Contrast, Grey, reduce

INNER_NM = 500.0
"""From the middle of a smooth region to its edges, at least: platelets are thinner."""
MARGIN = 4
"""Rows around those of a `Strip`: a pair of rows, its neighbour, and one for odd beginnings."""
EDGES, GREYS, CONTRASTS = 64, 32, 160
"""Bins of `Glance.inner`: of a grey level, of 8, and of an eighth."""

_LAPLACE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)  # 6 deviations wide


@dataclass(frozen=True)
class Strip:
    """Rows of a micrograph with a few around them.

    Parameters
    ----------
    grey : ndarray of uint8, shape (rows, columns)
        From row `first` of the specimen on; `MARGIN` more than `rows` at either end, or all.
    first : int
        Its first row.
    rows : slice
        The rows that count.
    """

    grey: Grey
    first: int
    rows: slice

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


@dataclass(frozen=True)
class Glance:
    """What a first look at one band gives to the survey.

    Parameters
    ----------
    smooth : ndarray of int64, shape (256,)
        Histogram of the smoothed grey.
    rough : ndarray of int64, shape (2, 256)
        From `Strip.count_roughness`.
    contrasts : ndarray of int64, shape (32768,)
        Histogram of the contrast, in 1 / `unit` grey levels.
    unit : int
        Parts of a grey level.
    inner : ndarray of int64, shape (64, 32, 160)
        Histogram of the largest contrast around each pixel (grey levels), of its smoothed grey
        (eights of levels) and of its contrast (eighths of a level).
    small : ndarray of uint8
        The grey, reduced.
    """

    smooth: npt.NDArray[np.int64]
    rough: npt.NDArray[np.int64]
    contrasts: npt.NDArray[np.int64]
    unit: int
    inner: npt.NDArray[np.int64]
    small: Grey


def glance_at(
    band: Band, grey: Grey, strip: Strip, contrast: Contrast, factor: int, middle: int
) -> Glance:
    """Look at one band.

    Parameters
    ----------
    band : Band
        Which.
    grey : ndarray of uint8, shape (rows of the window, columns)
        The band's window.
    strip : Strip
        The band's own rows before they were enlarged, which hides noise.
    contrast : Contrast
        Of that window.
    factor : int
        How much the brightness is reduced.
    middle : int
        Pixels from the middle of a smooth region to its edges, at least.
    """
    return Glance(
        smooth=_histogram(band.cut(contrast.smooth), 256),
        rough=strip.count_roughness(),
        contrasts=_histogram(np.maximum(band.cut(contrast.levels), 0), 1 << 15),
        unit=contrast.unit,
        inner=_look_inside(band, contrast, middle),
        small=reduce(band.cut(grey), factor),
    )


def _look_inside(band: Band, contrast: Contrast, middle: int) -> npt.NDArray[np.int64]:
    """Return the histogram of the largest contrast around, of grey and of contrast."""
    levels = np.clip(contrast.levels // contrast.unit, 0, EDGES - 1).astype(np.uint8)
    around = cv2.dilate(levels, np.ones((2 * middle + 1, 2 * middle + 1), np.uint8))
    index = band.cut(around).astype(np.int32) * GREYS + band.cut(contrast.smooth) // 8
    eighths = band.cut(contrast.levels).astype(np.int32) * 8 // contrast.unit
    eighths = np.clip(eighths, 0, CONTRASTS - 1)
    counts = _histogram(index * CONTRASTS + eighths, EDGES * GREYS * CONTRASTS)
    return counts.reshape(EDGES, GREYS, CONTRASTS)


def _find_roughness(grey: Grey) -> Grey:
    """Return how much each pixel departs from its eight neighbours, blind to slopes and edges.

    Immerkær (1996), Computer Vision and Image Understanding 64(2), 300–302.
    """
    if not grey.size:
        return grey
    return np.asarray(cv2.convertScaleAbs(cv2.filter2D(grey, cv2.CV_16S, _LAPLACE)), np.uint8)


def _histogram(values: npt.NDArray[np.integer], length: int) -> npt.NDArray[np.int64]:
    return np.bincount(values.ravel(), minlength=length)
