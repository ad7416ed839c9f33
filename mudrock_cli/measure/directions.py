"""The direction that long axes of objects have in common: axial mean, Rayleigh test, rose.

Angles are in radians on any scale within half a turn; what comes back is on the same.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mudrock_cli.measure.shapes import Bools, Floats
from mudrock_cli.measure.sizes import LEAST_PIXELS, effective_number

ELONGATED = 1.2
"""Least aspect ratio of an object that has a direction."""

_SECTORS = 18  # of half a turn, in a rose


@dataclass(frozen=True)
class AxialMean:
    """Mean direction of axes, and whether there is one.

    Parameters
    ----------
    angle : float
        Mean axis, radians, from -pi/2 up to pi/2; NaN for no axis.
    strength : float
        Mean resultant length of the doubled angles: 0 = no direction, 1 = all parallel.
    number : float
        Effective number of axes (Kish).
    p : float
        p value of the Rayleigh test against axes in all directions alike.
    """

    angle: float
    strength: float
    number: float
    p: float


def have_direction(axis: npt.ArrayLike, aspect: npt.ArrayLike, pixels: npt.ArrayLike) -> Bools:
    """Tell which objects have a direction: the long ones that are resolved.

    Parameters
    ----------
    axis : array_like, shape (N,)
        Long axes; NaN for a circle.
    aspect : array_like, shape (N,)
        Aspect ratios; NaN for a line of pixels, which has no short axis but a direction.
    pixels : array_like, shape (N,)
        Areas in pixels.

    Returns
    -------
    ndarray of bool, shape (N,)
    """
    round_ones = np.asarray(aspect, np.float64) < ELONGATED
    resolved = np.asarray(pixels) >= LEAST_PIXELS
    return ~np.isnan(np.asarray(axis, np.float64)) & ~round_ones & resolved


def axial_mean(angles: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> AxialMean:
    """Return the mean axis and the Rayleigh test.

    Parameters
    ----------
    angles : array_like, shape (N,)
        Axes in radians; an angle and its opposite are the same.
    weights : array_like, shape (N,), optional
        Ones where None; frame weights to leave out what the frame cuts, which lies along it.

    Notes
    -----
    A long axis has no head or tail, so angles are doubled before they are averaged: Mardia and
    Jupp (2000), Directional Statistics, 9.4. With weights the test takes Kish's effective number
    for the number of axes.
    """
    doubled = 2 * np.asarray(angles, np.float64)
    weight = np.ones_like(doubled) if weights is None else np.asarray(weights, np.float64)
    total = float(weight.sum())
    if not total > 0:
        return AxialMean(math.nan, math.nan, 0.0, math.nan)
    resultant = complex(np.sum(weight * np.exp(1j * doubled)) / total)
    strength, number = min(abs(resultant), 1.0), effective_number(weight)
    angle = math.atan2(resultant.imag, resultant.real) / 2
    wrapped = (angle + math.pi / 2) % math.pi - math.pi / 2
    return AxialMean(wrapped, strength, number, rayleigh_p(strength, number))


def rayleigh_p(strength: float, number: float) -> float:
    """Return the p value of the Rayleigh test of uniform directions.

    Parameters
    ----------
    strength : float
        Mean resultant length, 0 to 1.
    number : float
        Number of directions.

    Notes
    -----
    Mardia and Jupp (2000), 6.3.2: ``exp(-z)`` with ``z = n R²``, and its correction below 50
    directions, as in ``astropy.stats.rayleightest``.
    """
    z = number * strength**2
    correction = 1.0
    if number < 50:
        first = (2 * z - z**2) / (4 * number)
        second = (24 * z - 132 * z**2 + 76 * z**3 - 9 * z**4) / (288 * number**2)
        correction = 1 + first - second
    return min(max(math.exp(-z) * correction, 0.0), 1.0)


def rose(angles: npt.ArrayLike, weights: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Return the share of axes in each of 18 sectors of half a turn.

    Parameters
    ----------
    angles : array_like, shape (N,)
        Axes in radians.
    weights : array_like, shape (N,)
        Frame weights, for example.

    Returns
    -------
    edges : ndarray of float64, shape (19,)
        Limits of the sectors, from -pi/2 to pi/2.
    shares : ndarray of float64, shape (18,)
        They sum to 1; all 0 where there is no axis.
    """
    axes = np.mod(np.asarray(angles, np.float64) + np.pi / 2, np.pi)
    sector = np.minimum((axes * _SECTORS / np.pi).astype(np.intp), _SECTORS - 1)
    sums = np.bincount(sector, np.asarray(weights, np.float64), minlength=_SECTORS)
    edges = np.linspace(-np.pi / 2, np.pi / 2, _SECTORS + 1)
    return edges, sums / (sums.sum() or 1.0)
