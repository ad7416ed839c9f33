"""Contrast of dark features: median smoothing, top-hat and bottom-hat, on several scales.

Everything is counted in whole grey levels, so that a pixel comes out the same in any window.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.classical.recipe import Scale
from mudrock_cli.image.micrograph import Micrograph

Grey = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.uint8]
"""1 where something is, 0 elsewhere."""


@dataclass(frozen=True)
class Contrast:
    """How much darker each pixel is than the solid around it.

    Parameters
    ----------
    levels : ndarray of int16, shape (rows, columns)
        Bottom-hat less weighted top-hat, in 1 / `unit` grey levels.
    unit : int
        Parts of a grey level.
    smooth, ceiling : ndarray of uint8, shape (rows, columns)
        The finest smoothing, and the brightness of the solid around each pixel.
    """

    levels: npt.NDArray[np.int16]
    unit: int
    smooth: Grey
    ceiling: Grey

    def exceeds(self, darkness: float, background: Grey, black: float) -> Mask:
        """Return where a pixel is darker than the solid by more than a share of the full depth.

        Parameters
        ----------
        darkness : float
            Share of the way from the background to black.
        background : ndarray of uint8, shape (rows, columns)
            Brightness of the solid.
        black : float
            Grey of the deepest pore.
        """
        depth = np.maximum(np.arange(256) - black, 1.0)
        limits = np.floor(darkness * self.unit * depth).astype(np.int16)
        return np.asarray(self.levels > limits[background]).view(np.uint8)

    def lies_below(self, share: float, background: Grey, black: float) -> Mask:
        """Return where the smoothed grey itself is further down to black than a share."""
        levels = np.arange(256)
        limits = np.clip(np.ceil(levels - share * np.maximum(levels - black, 1.0)), 0, 255)
        return np.asarray(self.smooth < limits.astype(np.uint8)[background]).view(np.uint8)

    def relative(self, background: Grey, black: float) -> Grey:
        """Return the contrast as grey levels: 0 no darker than the solid, 255 as dark as black."""
        depth = np.maximum(background - np.float32(black), 1)
        share = 255 / self.unit * self.levels / depth
        return np.asarray(np.clip(share, 0, 255), np.uint8)


def enhance(grey: Grey, scales: Sequence[Scale], top_hat: float, solid: int) -> Contrast:
    """Smooth an image, look on several scales for what is darker than its surroundings, and merge.

    A bottom-hat is the closing less the image, a top-hat the image less its opening. On a level of
    the pyramid the disc of the closing meets pores up to its own size; coarser levels close larger
    pores. The merged closing is the mean over the levels, the merged smoothing the mean in which
    every level counts half as much as the finer one before it: the smallest pores keep their
    outline, the largest their area.

    Parameters
    ----------
    grey : ndarray of uint8, shape (rows, columns)
        A window whose first row and column are multiples of every `Scale.factor`.
    scales : sequence of Scale
        The finest first; none compares the grey with `solid`.
    top_hat : float
        Weight of the top-hat.
    solid : int
        Brightness of the solid, for no scales.

    References
    ----------
    Bihani et al. (2022), doi:10.1016/j.cageo.2021.104952, after Landry et al. (2017): median,
    plus top-hat, minus bottom-hat. Soille, *Morphological Image Analysis* (2003), ch. 4.
    """
    if not scales:
        return Contrast(np.int16(solid) - grey, 1, grey, np.full_like(grey, solid))
    n, weight_sum = len(scales), 2 ** len(scales) - 1
    unit = n * weight_sum
    levels = np.zeros(grey.shape, np.int16)
    ceiling = np.zeros(grey.shape, np.int16)
    bright = np.zeros(grey.shape, np.int16)
    finest = grey
    for octave, scale in enumerate(scales):
        smooth = smooth_median(reduce(grey, scale.factor), scale.window)
        disc = make_disc(scale.radius)
        closed = cv2.morphologyEx(smooth, cv2.MORPH_CLOSE, disc)
        ceiling += enlarge(closed, scale.factor, grey.shape)
        wide = enlarge(smooth, scale.factor, grey.shape)
        levels -= np.int16(n * 2 ** (n - 1 - octave)) * wide
        if top_hat > 0:
            opened = cv2.morphologyEx(smooth, cv2.MORPH_OPEN, disc)
            bright += enlarge(cv2.subtract(smooth, opened), scale.factor, grey.shape)
        finest = wide if octave == 0 else finest
    levels += np.int16(weight_sum) * ceiling
    if top_hat > 0:
        levels -= np.rint(np.arange(n * 255 + 1) * top_hat / n).astype(np.int16)[bright] * unit
    return Contrast(levels, unit, finest, (ceiling // n).astype(np.uint8))


def smooth_median(grey: Grey, window: int) -> Grey:
    """Return the median in a square window of odd side; the border is repeated outwards."""
    return grey if window == 1 else np.asarray(cv2.medianBlur(grey, window), np.uint8)


def make_disc(radius: float) -> Mask:
    """Return the pixels within `radius` of the centre, as ``skimage.morphology.disk`` does."""
    reach = math.floor(radius)
    offsets = np.arange(-reach, reach + 1)
    return (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(np.uint8)


def reduce(grey: Grey, factor: int) -> Grey:
    """Average blocks of `factor` by `factor` pixels; the last ones are filled up by mirroring."""
    if factor == 1:
        return grey
    rows, columns = (-grey.shape[0]) % factor, (-grey.shape[1]) % factor
    padded = cv2.copyMakeBorder(grey, 0, rows, 0, columns, cv2.BORDER_REFLECT)
    size = (padded.shape[1] // factor, padded.shape[0] // factor)
    return np.asarray(cv2.resize(padded, size, interpolation=cv2.INTER_AREA), np.uint8)


def enlarge(grey: Grey, factor: int, shape: tuple[int, ...]) -> Grey:
    """Interpolate between block centres, exact in integers, and cut to `shape`."""
    if factor == 1:
        return grey
    size = (grey.shape[1] * factor, grey.shape[0] * factor)
    wide = cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR_EXACT)
    return np.asarray(wide[: shape[0], : shape[1]], np.uint8)


# Bands of rows whose windows overlap.

Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True)
class Band:
    """Rows of a specimen, and the rows around them that have a say in what they become.

    Parameters
    ----------
    rows : slice
        The rows, counted from the top of the specimen.
    window : slice
        The rows that are read.
    """

    rows: slice
    window: slice

    def read(self, micrograph: Micrograph) -> Grey:
        """Read the window, uint8, shape (rows, columns of the specimen)."""
        return micrograph.read_specimen()(self.window, slice(None))

    def cut(self, array: npt.NDArray[Value]) -> npt.NDArray[Value]:
        """Return the band's own rows of what was computed on its window."""
        return array[self.rows.start - self.window.start : self.rows.stop - self.window.start]

    def sides(self, height: int) -> tuple[bool, bool, bool, bool]:
        """Return whether the window ends with the specimen at its top, bottom, left, right."""
        return self.window.start == 0, self.window.stop == height, True, True


def plan_bands(shape: tuple[int, int], halo: int, align: int, pixels: int) -> list[Band]:
    """Cover an image with bands whose windows begin at multiples of `align`.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    halo : int
        Rows to read above and below at least.
    align : int
        Grid of the coarsest level.
    pixels : int
        Pixels of a band, roughly.
    """
    height, width = shape
    step = max(pixels // width // align, 1) * align
    margin = -(-halo // align) * align
    return [
        Band(
            slice(top, min(top + step, height)),
            slice(max(top - margin, 0), min(top + step + margin, height)),
        )
        for top in range(0, height, step)
    ]
