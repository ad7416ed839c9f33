"""Grains chosen by size: on the whole image, never on a band."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from mudrock_cli.classical.contrast import Mask
from mudrock_cli.classical.recipe import SiltRecipe
from mudrock_cli.classical.regions import measure_regions


class Grains:
    """The silt grains among the regions of an opened solid.

    A grain that the frame cuts counts by what is visible.

    Parameters
    ----------
    opened : iterable of ndarray of uint8, shape (rows, columns)
        Bands of the opened solid; iterated several times.
    rough : iterable of ndarray of uint8, shape (rows, columns)
        Bands of 1 where the contrast is twice the typical one.
    silt : SiltRecipe
        Sizes of grains and of the holes in them, and how rough a grain may be.
    pixel_nm : float
        Nanometres per pixel.
    """

    def __init__(
        self, opened: Iterable[Mask], rough: Iterable[Mask], silt: SiltRecipe, pixel_nm: float
    ) -> None:
        self._opened = opened
        self._regions = regions = measure_regions(opened, 4, rough)
        large = _diameters(regions.areas, pixel_nm) + 2 * silt.rim_nm >= silt.min_ecd_nm
        self._grains = large & (regions.marked <= silt.rough_share * regions.areas)
        self.count = int(self._grains.sum())
        self._around = measure_regions((1 - band for band in self._chosen()), connectivity=8)
        small = _diameters(self._around.areas, pixel_nm) <= silt.hole_nm
        self._holes = small & ~self._around.at_frame

    def bands(self) -> Iterator[Mask]:
        """Yield the silt by bands, holes filled."""
        around = (1 - band for band in self._chosen())
        holes = self._around.paint(around, self._holes)
        for grain, hole in zip(self._chosen(), holes, strict=True):
            yield grain | hole

    def _chosen(self) -> Iterator[Mask]:
        return self._regions.paint(self._opened, self._grains)


def _diameters(areas: npt.NDArray[np.int64], pixel_nm: float) -> npt.NDArray[np.float64]:
    """Return equivalent-circle diameters in nanometres."""
    return np.asarray(np.sqrt(4 / math.pi * areas) * pixel_nm)
