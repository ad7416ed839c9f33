"""From the sections seen in a plane to the spheres in the rock: Saltykov's unfolding.

A plane cuts most grains beside their centre, so sections are smaller than grains, and large
grains are cut more often than small ones. Saltykov takes the sections apart class by class, the
largest first.

It assumes: grains are spheres, spread at random, in a plane as thin as light (no depth of view);
every section of the classes is seen. Silt grains are not spheres and touching grains are seen as
one, so take the result as a model, never as a measurement; with fewer than some hundred sections
the band is wider than the answer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mudrock_cli.measure.uncertainty import resample_blocks

Floats = npt.NDArray[np.float64]

STEP = 10**0.1
"""Saltykov's ratio between diameter classes."""


@dataclass(frozen=True)
class Unfolding:
    """Spheres per volume, by diameter.

    Parameters
    ----------
    edges : ndarray of float64, shape (K + 1,)
        Limits of the diameter classes, µm; the spheres of a class have the upper limit as
        diameter.
    sections : ndarray of float64, shape (K,)
        Sections per area in each class, 1/µm².
    spheres, low, high : ndarray of float64, shape (K,)
        Spheres per volume in each class, 1/µm³, with the bootstrap interval.
    """

    edges: Floats
    sections: Floats
    spheres: Floats
    low: Floats
    high: Floats


def lay_classes(smallest: float, largest: float, step: float = STEP) -> Floats:
    """Return diameter limits from `smallest` to `largest` or more, each `step` times the last."""
    classes = max(1, math.ceil(math.log(largest / smallest) / math.log(step) - 1e-9))
    return smallest * step ** np.arange(classes + 1, dtype=np.float64)


def section_matrix(edges: npt.ArrayLike) -> Floats:
    """Return how many sections per area of each class one sphere per volume of each class gives.

    Parameters
    ----------
    edges : array_like, shape (K + 1,)
        Limits of the classes, rising, µm.

    Returns
    -------
    ndarray of float64, shape (K, K), upper triangular
        ``M[i, j] = sqrt(D_j² - d_i²) - sqrt(D_j² - d_(i+1)²)`` for spheres of diameter ``D_j =
        d_(j+1)``: ``sections = M @ spheres``.

    Notes
    -----
    Saltykov (1967); Underwood (1970), Quantitative Stereology, 5.4.
    """
    limits = np.asarray(edges, np.float64)
    depth = np.sqrt(np.clip(limits[None, 1:] ** 2 - limits[:, None] ** 2, 0, None))
    return depth[:-1] - depth[1:]


def unfold(edges: npt.ArrayLike, sections: npt.ArrayLike) -> Floats:
    """Return the spheres per volume that explain sections per area, none negative.

    Parameters
    ----------
    edges : array_like, shape (K + 1,)
        Limits of the classes, µm.
    sections : array_like, shape (K,)
        Sections per area in each class, 1/µm².

    Returns
    -------
    ndarray of float64, shape (K,)
        1/µm³: Saltykov's solution where that has no negative class, the nearest in least squares
        elsewhere.
    """
    from scipy.optimize import nnls

    matrix = section_matrix(edges)
    solution: Floats = nnls(matrix, np.asarray(sections, np.float64))[0]
    return solution


def unfold_sections(
    diameter_um: npt.ArrayLike,
    weights: npt.ArrayLike,
    block: npt.ArrayLike,
    block_area_um2: npt.ArrayLike,
    image: npt.ArrayLike,
    *,
    edges: Sequence[float] | Floats,
) -> Unfolding:
    """Unfold the sections of one or more images, with a bootstrap band over blocks and images.

    Parameters
    ----------
    diameter_um : array_like, shape (N,)
        Equivalent-circle diameters of the sections, µm; those outside the classes are left out.
    weights : array_like, shape (N,)
        Frame weights, or ones.
    block : array_like of int, shape (N,)
        Block of each section, 0 to B - 1.
    block_area_um2 : array_like, shape (B,)
        Specimen area of each block, µm².
    image : array_like of int, shape (B,)
        Image of each block.
    edges : sequence of float, length K + 1
        Limits of the classes, µm (`lay_classes`).
    """
    limits = np.asarray(edges, np.float64)
    diameter, weight = np.asarray(diameter_um, np.float64), np.asarray(weights, np.float64)
    area, block = np.asarray(block_area_um2, np.float64), np.asarray(block, np.intp)
    classes = len(limits) - 1
    place = np.searchsorted(limits, diameter, side="left") - 1
    place[diameter == limits[0]] = 0
    kept = (place >= 0) & (place < classes) & (diameter <= limits[-1])
    flat = block[kept] * classes + place[kept]
    table = np.bincount(flat, weight[kept], minlength=len(area) * classes)
    table = table.reshape(len(area), classes)

    def solve(times: Floats) -> Floats:
        per_area = (times @ table) / (times @ area)[:, None]
        return np.array([unfold(limits, sections) for sections in per_area]).T

    intervals = resample_blocks(image, solve)[0]
    return Unfolding(
        limits,
        table.sum(axis=0) / area.sum(),
        np.array([each.value for each in intervals]),
        np.array([each.low for each in intervals]),
        np.array([each.high for each in intervals]),
    )
