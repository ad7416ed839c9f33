"""The observation window: where in an image specimen can be seen, and what follows for counts.

A field is a rectangle, or a rectangle with something cut out of it (a label box, a crack painted
255, a round aperture). The chance that an object lies whole in it, its edge, and the pairs of
points at a distance that it holds follow from the specimen's own shape, here on a grid of cells.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from mudrock_cli.measure.shapes import Floats

CELLS = 256
"""Cells along the longer side of an image in which void is counted."""

_COARSE = 128
"""Cells along the longer side for pairs of points."""

_RADII = 16


def void_cell(shape: tuple[int, int]) -> int:
    """Return the side in pixels of the cells in which the void of an image is counted."""
    return max(1, -(-max(shape) // CELLS))


@dataclass(frozen=True)
class KVariation:
    """How much Ripley's K of random points varies in a window, for `spatial.ripley_l`.

    `edge` is the covariance over the window of the mean number of neighbours that a point has
    there, each pair weighed as in K, as a share of both means; `pairs` is ``A² times the integral
    of 1 / c(h)`` up to each distance, c the set covariance.
    """

    radii: Floats  # (K,): distances, rising to a quarter of the window's shorter side
    edge: Floats  # (K, K)
    pairs: Floats  # (K,)


@dataclass(frozen=True)
class Window:
    """The specimen in a field, in any unit of length.

    Parameters
    ----------
    height, width : float
        Sides of the field.
    void : ndarray of float64, shape (R, C), or None
        Area without specimen in each square cell of the field, from its upper left corner on;
        None where there is none.
    cell : float
        Side of a cell.
    """

    height: float
    width: float
    void: Floats | None = None
    cell: float = 1.0

    def scale(self, factor: float) -> "Window":
        """Return the window in another unit."""
        void = None if self.void is None else self.void * factor**2
        return Window(self.height * factor, self.width * factor, void, self.cell * factor)

    @cached_property
    def area(self) -> float:
        """Area of the specimen."""
        missing = 0.0 if self.void is None else float(self.void.sum())
        return self.height * self.width - missing

    @cached_property
    def shorter_side(self) -> float:
        """Shorter side of the smallest box of cells that holds all specimen."""
        if self.void is None:
            return min(self.height, self.width)
        solid = self._solid > 1e-9 * self.cell**2
        across = [solid.any(axis=axis).sum() for axis in (0, 1)]
        return float(min(min(across) * self.cell, self.height, self.width))

    def inclusion(self, heights: npt.ArrayLike, widths: npt.ArrayLike) -> Floats:
        """Return the chance that an object placed at random on the specimen lies whole on it.

        Parameters
        ----------
        heights, widths : array_like, shape (N,)
            Vertical and horizontal Feret diameter (sides of the bounding box).

        Returns
        -------
        ndarray of float64, shape (N,)
            0 for objects as large as the specimen.

        Notes
        -----
        In a rectangle ``(W - Fx) (H - Fy) / (W H)`` (Miles 1974; Lantuéjoul 1980; ISO
        13322-1:2014, 5.3.3). Elsewhere the share of specimen further from its edge than half the
        mean of both diameters, exact for discs, times what their difference changes in a rectangle.
        """
        down, across = np.asarray(heights, np.float64), np.asarray(widths, np.float64)
        chance = self._fit(down, across)
        if self.void is None:
            return chance
        mean = (down + across) / 2
        even = self._fit(mean, mean)
        ratio = np.divide(chance, even, out=np.ones_like(chance), where=even > 0)
        share = np.interp(mean / 2, *self._eroded, right=0.0)
        return np.where(chance > 0, np.clip(share * ratio, 0, 1), 0.0)

    def _fit(self, down: Floats, across: Floats) -> Floats:
        whole: Floats = np.clip(1 - down / self.height, 0, 1) * np.clip(
            1 - across / self.width, 0, 1
        )
        return whole

    @cached_property
    def _eroded(self) -> tuple[Floats, Floats]:
        """Distances from the edge, and the share of the specimen that lies further from it."""
        import cv2

        assert self.void is not None
        solid = (self.void == 0).astype(np.uint8)
        # An edge lies anywhere in a cell that it crosses, on average in its middle.
        inner = cv2.distanceTransform(solid, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * self.cell
        down, across = (
            np.minimum(middle, length - middle)
            for length, count in zip((self.height, self.width), solid.shape, strict=True)
            for middle in [(np.arange(count) + 0.5) * self.cell]
        )
        distance = np.minimum(inner, np.minimum(down[:, None], across[None, :]))
        sorted_distance = np.sort(distance[solid > 0])
        steps = np.arange(2, max(3, sorted_distance.max(initial=0) // self.cell + 2)) * self.cell
        further = len(sorted_distance) - np.searchsorted(sorted_distance, steps)
        share = np.minimum(further * self.cell**2 / self.area, 1)
        return np.concatenate([[0.0], steps]), np.concatenate([[1.0], share])

    @cached_property
    def _solid(self) -> Floats:
        """Area of specimen in each cell."""
        assert self.void is not None
        down, across = (
            np.clip(length - self.cell * np.arange(count), 0, self.cell)
            for length, count in zip((self.height, self.width), self.void.shape, strict=True)
        )
        return np.clip(np.outer(down, across) - self.void, 0, None)

    @cached_property
    def _coverage(self) -> tuple[Floats, float]:
        """Share of specimen in coarse cells, and the side of these."""
        if self.void is None:
            cell = max(self.height, self.width) / _COARSE
            down, across = (
                np.clip(length / cell - np.arange(math.ceil(length / cell - 1e-9)), 0, 1)
                for length in (self.height, self.width)
            )
            return np.outer(down, across), cell
        step = max(1, max(self._solid.shape) // _COARSE)
        rows, columns = (-(-count // step) for count in self._solid.shape)
        padded = np.zeros((rows * step, columns * step))
        padded[: self._solid.shape[0], : self._solid.shape[1]] = self._solid
        sums = padded.reshape(rows, step, columns, step).sum(axis=(1, 3))
        return sums / (self.cell * step) ** 2, self.cell * step

    @cached_property
    def _set_covariance(self) -> Floats:
        """Set covariance at shifts of whole coarse cells, down from 0 and across from -C to C."""
        from scipy.signal import fftconvolve

        coverage, cell = self._coverage
        pairs = fftconvolve(coverage, coverage[::-1, ::-1])[len(coverage) - 1 :] * cell**2
        pairs[0, coverage.shape[1] - 1] = self.area  # partly covered cells count whole
        found: Floats = np.clip(pairs, 0, None)
        return found

    def covariance(self, down: Floats, across: Floats) -> Floats:
        """Return the set covariance: the area of specimen that stays on it when it is shifted.

        Parameters
        ----------
        down, across : ndarray of float64
            Shifts; those down not negative.
        """
        if self.void is None:
            kept: Floats = (self.height - down) * (self.width - np.abs(across))
            return kept
        from scipy.ndimage import map_coordinates

        cell, middle = self._coverage[1], self._set_covariance.shape[1] // 2
        place = np.stack(np.broadcast_arrays(down / cell, across / cell + middle))
        found: Floats = map_coordinates(self._set_covariance, place, order=1, mode="nearest")
        return np.maximum(found, self.area * 1e-3)

    def perimeter(self, scale: float) -> float:
        """Return the length of the specimen's edge as it is felt at the distance `scale`.

        Notes
        -----
        In a rectangle its perimeter. Elsewhere ``pi (A - c(h)) / h``, c the set covariance and h
        the distance (Matheron 1975: the perimeter for small h), so that a gap which neighbours
        reach across is hardly an edge.
        """
        if self.void is None:
            return 2 * (self.height + self.width)
        cell, middle = self._coverage[1], self._set_covariance.shape[1] // 2
        down, across = np.ogrid[: len(self._set_covariance), -middle : middle + 1]
        shift = cell * np.hypot(down, across)
        ring = np.abs(shift - max(scale, 2 * cell)) <= cell / 2
        # Cells blur the edge, which makes shifts a little longer; those along rows stand twice.
        lost = (self.area - self._set_covariance[ring]) / np.hypot(shift[ring], cell / 6**0.5)
        weight = np.broadcast_to(np.where(down == 0, 0.5, 1.0), ring.shape)[ring]
        return float(np.pi * np.average(lost, weights=weight))

    @cached_property
    def k_variation(self) -> KVariation:
        """How much Ripley's K of random points varies here."""
        if self.void is None:
            longer = max(self.height, self.width)
            unit = _vary_k_in_rectangle(
                round(self.height / longer, 3), round(self.width / longer, 3)
            )
            return KVariation(unit.radii * longer, unit.edge, unit.pairs * longer**4)
        return self._vary_k()

    def _vary_k(self) -> KVariation:
        from scipy.signal import fftconvolve

        coverage, cell = self._coverage
        reach = self.shorter_side / 4
        size = math.floor(reach / cell) + 2
        radii = reach * np.arange(1, _RADII + 1) / _RADII
        down, across = np.mgrid[-size : size + 1, -size : size + 1] * cell
        weight = self.area / self.covariance(np.abs(down), np.where(down < 0, -across, across))
        distance = np.hypot(down, across)
        seen, pairs = [], []
        for radius in radii:
            disc = np.clip((radius - distance) / cell + 0.5, 0, 1)
            disc *= np.pi * radius**2 / (disc.sum() * cell**2)
            neighbours = fftconvolve(coverage, disc * weight, mode="same").ravel()
            seen.append(neighbours / np.average(neighbours, weights=coverage.ravel()) - 1)
            pairs.append(self.area * float((disc * weight).sum()) * cell**2)
        edge = (np.array(seen) * (coverage.ravel() / coverage.sum())) @ np.array(seen).T
        return KVariation(radii, edge, np.array(pairs))


@lru_cache(maxsize=64)
def _vary_k_in_rectangle(height: float, width: float) -> KVariation:
    return Window(height, width)._vary_k()
