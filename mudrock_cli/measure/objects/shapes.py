"""From the sums of objects to their shapes, in pixels."""

from dataclasses import dataclass

import numpy as np

from mudrock_cli.measure.objects.hull import Floats
from mudrock_cli.measure.objects.pieces import Pieces

_ROUNDING = 1e-14
"""Relative size below which a second moment is the rounding of zero."""


@dataclass(frozen=True)
class Ellipse:
    """The ellipses with the objects' second moments; lengths in pixels.

    Parameters
    ----------
    row, column : ndarray of float64, shape (N,)
        Centroid, the centre of the image's first pixel being (0, 0).
    major, minor : ndarray of float64, shape (N,)
        Full axes, ``4 sqrt(eigenvalue)`` of the covariance of pixel centres.
    orientation : ndarray of float64, shape (N,)
        Angle of the major axis, counter-clockwise from the image's horizontal, in degrees from 0
        to below 180; NaN where both axes are equal.
    """

    row: Floats
    column: Floats
    major: Floats
    minor: Floats
    orientation: Floats

    @property
    def aspect_ratio(self) -> Floats:
        """Major over minor axis; NaN for a line of pixels, whose minor axis is zero."""
        thick = self.minor > 0
        ratio = np.full(len(thick), np.nan)
        np.divide(self.major, self.minor, out=ratio, where=thick)
        return ratio


def fit_ellipses(objects: Pieces) -> Ellipse:
    """Fit an ellipse to the second moments of every object."""
    sums, area = objects.sums, objects.sums["area"]
    # About the pixel nearest the centroid the sums are small, exact integers again.
    x0, y0 = sums["x"] // area, sums["y"] // area
    x, y = (sums["x"] - x0 * area) / area, (sums["y"] - y0 * area) / area
    xx = sums["xx"] - 2 * x0 * sums["x"] + x0 * x0 * area
    yy = sums["yy"] - 2 * y0 * sums["y"] + y0 * y0 * area
    xy = sums["xy"] - x0 * sums["y"] - y0 * sums["x"] + x0 * y0 * area
    xx_mean, yy_mean, xy_mean = xx / area - x * x, yy / area - y * y, xy / area - x * y
    middle, half = (xx_mean + yy_mean) / 2, (xx_mean - yy_mean) / 2
    reach = np.hypot(half, xy_mean)
    small = np.clip(middle - reach, 0, None)
    small[small <= _ROUNDING * middle] = 0
    # Rows count downwards, so a covariance of rows and columns turns its sign in the plane.
    turn = np.degrees(np.arctan2(-xy_mean, half) / 2) % 180
    turn[turn >= 180] = 0
    turn[reach <= _ROUNDING * middle] = np.nan
    return Ellipse(y0 + y, x0 + x, 4 * np.sqrt(middle + reach), 4 * np.sqrt(small), turn)


def measure_perimeters(objects: Pieces) -> Floats:
    """Return Crofton perimeters from intersections in four directions, in pixels.

    Notes
    -----
    ``pi / 4 (n0 + n90 + (n45 + n135) / sqrt(2))`` with the number n of entries along lines one
    pixel apart; Legland, Kiêu and Devaux (2007), Image Anal. Stereol. 26: 83-92. The same as
    ``skimage.measure.perimeter_crofton`` with four directions.
    """
    sums = objects.sums
    straight = sums["ends_0"] + sums["ends_90"]
    diagonal = sums["ends_45"] + sums["ends_135"]
    perimeters: Floats = np.pi / 4 * (straight + diagonal / np.sqrt(2))
    return perimeters
