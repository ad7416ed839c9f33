"""Contrast of dark features: median smoothing, top-hat and bottom-hat, on several scales.

Everything is counted in whole grey levels, so that a pixel comes out the same in any window.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.classical.recipe import BackgroundRecipe, ContrastRecipe

Grey = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.uint8]
"""1 where something is, 0 elsewhere."""

_DEEPEST = np.iinfo(np.int16).max
_DISC = 9.0  # pixels; a level is reduced until its disc is less than twice as large
_WINDOW = 20.0  # pixels, likewise for the background's window


@dataclass(frozen=True)
class Scale:
    """One level of the pyramid.

    Parameters
    ----------
    factor : int
        The image is reduced by this power of two.
    window : int
        Side of the median window, pixels of the reduced image, odd; 1 for none.
    radius : float
        Radius of the disc, pixels of the reduced image.
    """

    factor: int
    window: int
    radius: float

    @property
    def reach(self) -> int:
        """Pixels of the full image over which a pixel has influence, enlarging included."""
        return self.factor * (self.window // 2 + 2 * math.floor(self.radius) + 2)


def plan_scales(contrast: ContrastRecipe, pixel_nm: float) -> list[Scale]:
    """Return the levels, the finest first; every level doubles the lengths of the one before.

    Parameters
    ----------
    contrast : ContrastRecipe
        Lengths of the finest level and number of levels.
    pixel_nm : float
        Nanometres per pixel.
    """
    scales = []
    for octave in range(contrast.scales):
        radius = contrast.reach_nm * 2**octave / pixel_nm
        factor = _power_of_two(radius / _DISC)
        window = _odd(contrast.smooth_nm * 2**octave / pixel_nm / factor)
        scales.append(Scale(factor, window, max(radius / factor, 1.0)))
    return scales


def plan_background(background: BackgroundRecipe, pixel_nm: float) -> Scale:
    """Return the level on which the brightness of the solid is measured."""
    window = background.window_nm / pixel_nm
    factor = _power_of_two(window / _WINDOW)
    return Scale(factor, max(_odd(window / factor), 3), 0.0)


def _power_of_two(ratio: float) -> int:
    """Return the largest power of two, from 1, that does not exceed `ratio`."""
    return 1 << max(0, math.floor(math.log2(ratio))) if ratio >= 1 else 1


def _odd(length: float) -> int:
    """Return the odd number of pixels nearest to a length, from 1."""
    return max(1, 2 * round((length - 1) / 2) + 1)


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
        limits = np.minimum(np.floor(darkness * self.unit * depth), _DEEPEST).astype(np.int16)
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
