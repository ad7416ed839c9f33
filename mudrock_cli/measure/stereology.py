"""From the sections seen in a plane to the spheres in the rock: Saltykov's unfolding.

A plane cuts most grains beside their centre, so sections are smaller than grains, and large
grains are cut more often than small ones. The unfolding takes the sections apart class by class.

It assumes: grains are spheres, spread at random, in a plane as thin as light (no depth of view);
every section of the classes is seen. Silt grains are not spheres and touching grains are seen as
one, so take the result as a model, never as a measurement.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mudrock_cli.measure.shapes import Floats

STEP = 10**0.1
"""Saltykov's ratio between diameter classes."""

LEAST_SECTIONS = 50
"""Fewer whole sections than this are not unfolded: the band would be wider than the answer."""

_NODES = 16
_DRAWS = 400


@dataclass(frozen=True)
class Unfolding:
    """Spheres per volume, by diameter.

    Parameters
    ----------
    edges : ndarray of float64, shape (K + 1,)
        Limits of the diameter classes, µm.
    counted : ndarray of int64, shape (K,)
        Whole sections in each class.
    spheres, low, high : ndarray of float64, shape (K,)
        Spheres per volume in each class, 1/µm³, with the 95 % interval.
    """

    edges: Floats
    counted: npt.NDArray[np.int64]
    spheres: Floats
    low: Floats
    high: Floats

    @property
    def diameters(self) -> Floats:
        """Geometric middle of each class, µm."""
        middles: Floats = np.sqrt(self.edges[1:] * self.edges[:-1])
        return middles


def lay_classes(smallest: float, largest: float) -> Floats:
    """Return diameter limits from `smallest` to `largest` or more, each `STEP` times the last."""
    classes = max(1, math.ceil(math.log(largest / smallest, STEP) - 1e-9))
    return smallest * STEP ** np.arange(classes + 1, dtype=np.float64)


def section_matrix(edges: npt.ArrayLike, diameters: npt.ArrayLike) -> Floats:
    """Return how many sections per area of each class one sphere per volume of each kind gives.

    Parameters
    ----------
    edges : array_like, shape (K + 1,)
        Limits of the classes of sections, rising, µm.
    diameters : array_like, shape (J,)
        Diameters of the spheres, µm.

    Returns
    -------
    ndarray of float64, shape (K, J)
        ``M[i, j] = sqrt(D_j² - d_i²) - sqrt(D_j² - d_(i+1)²)``, roots of what is negative being 0:
        ``sections = M @ spheres``.

    Notes
    -----
    Saltykov (1967), with the upper limits of the classes for diameters; Underwood (1970),
    Quantitative Stereology, 5.4.
    """
    limits, spheres = np.asarray(edges, np.float64), np.asarray(diameters, np.float64)
    depth = np.sqrt(np.clip(spheres[None, :] ** 2 - limits[:, None] ** 2, 0, None))
    return depth[:-1] - depth[1:]


def spread_matrix(edges: npt.ArrayLike) -> Floats:
    """Return `section_matrix` for spheres spread evenly over each class, on a log scale.

    Spheres that all had the upper limit of their class for diameter, as Saltykov took them, or
    its middle, as Cruz-Orive (1976), give fewer or more sections than those that fill the class.
    """
    limits = np.asarray(edges, np.float64)
    places = (np.arange(_NODES) + 0.5) / _NODES
    nodes = limits[:-1] * (limits[1:] / limits[:-1]) ** places[:, None]
    matrix: Floats = np.mean([section_matrix(limits, diameters) for diameters in nodes], axis=0)
    return matrix


def unfold(matrix: Floats, sections: npt.ArrayLike) -> Floats:
    """Return the spheres per volume that explain sections per area, none negative.

    Parameters
    ----------
    matrix : ndarray of float64, shape (K, K)
        From `spread_matrix` or `section_matrix`.
    sections : array_like, shape (K,)
        Sections per area in each class, 1/µm².

    Returns
    -------
    ndarray of float64, shape (K,)
        1/µm³: Saltykov's solution where that has no negative class, the nearest in least squares
        elsewhere.
    """
    from scipy.optimize import nnls

    solution: Floats = nnls(matrix, np.asarray(sections, np.float64))[0]
    return solution


def unfold_sections(
    diameter_um: npt.ArrayLike,
    weights: npt.ArrayLike,
    image: npt.ArrayLike,
    area_um2: npt.ArrayLike,
    *,
    edges: npt.ArrayLike,
) -> Unfolding:
    """Unfold the sections of one or more images, with a 95 % band.

    Parameters
    ----------
    diameter_um : array_like, shape (N,)
        Equivalent-circle diameters of the sections, µm; those outside the classes are left out.
    weights : array_like, shape (N,)
        Frame weights: 0 for sections that the frame cuts, whose diameter nobody knows.
    image : array_like of int, shape (N,)
        Image of each section, 0 to M - 1.
    area_um2 : array_like, shape (M,)
        Specimen area of each image, µm².
    edges : array_like, shape (K + 1,)
        Limits of the classes, µm (`lay_classes`); a section on a limit belongs above it.

    Notes
    -----
    The band unfolds numbers of sections drawn from gamma distributions: of a class with effective
    number n (Kish) of whole sections the posterior of a Poisson mean (Jeffreys), n divided by
    how much more the images differ than Poisson numbers would (at least 1).
    """
    limits = np.asarray(edges, np.float64)
    diameter, weight = np.asarray(diameter_um, np.float64), np.asarray(weights, np.float64)
    area, owner = np.asarray(area_um2, np.float64), np.asarray(image, np.intp)
    classes, total = len(limits) - 1, float(area.sum())
    place = np.searchsorted(limits, diameter, side="right") - 1
    place[diameter == limits[-1]] = classes - 1
    kept = (weight > 0) & (place >= 0) & (place < classes)
    place, weight, owner = place[kept], weight[kept], owner[kept]
    counted = np.bincount(place, minlength=classes)
    sums = np.bincount(place, weight, minlength=classes)
    squares = np.bincount(place, weight**2, minlength=classes)
    matrix = spread_matrix(limits)
    even = np.divide(squares, sums, out=np.ones(classes), where=sums > 0)
    number = sums / even / _overdispersion(np.bincount(owner, minlength=len(area)), area)
    scale = np.divide(sums, number, out=even, where=number > 0)
    draws = np.random.default_rng(0).gamma(number + 0.5, size=(_DRAWS, classes)) * scale / total
    drawn = np.array([unfold(matrix, sections) for sections in draws])
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    spheres = unfold(matrix, sums / total)
    return Unfolding(limits, counted, spheres, low, high)


def _overdispersion(counts: npt.NDArray[np.int64], area: Floats) -> float:
    """Return the variance of counts per image over that of Poisson numbers, at least 1."""
    expected = counts.sum() * area / area.sum()
    if len(area) < 2 or not counts.any():
        return 1.0
    return max(1.0, float(((counts - expected) ** 2 / expected).sum()) / (len(area) - 1))
