"""The spatial scales of the workflow: lengths in nanometres brought to pixels."""

import math
from dataclasses import dataclass

from mudrock_cli.classical.recipe import BackgroundRecipe, ContrastRecipe

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
        smooth = contrast.smooth_nm * 2**octave / pixel_nm
        scales.append(Scale(factor, _odd(smooth / factor), max(radius / factor, 1.0)))
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
