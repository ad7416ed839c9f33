"""What the workflow finds on an image before it chooses the grains."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mudrock_cli.classical.contrast import Grey, Mask
from mudrock_cli.classical.grains import Grains
from mudrock_cli.classical.recipe import WorkflowRecipe
from mudrock_cli.image.phase import Phase


class BitPlane:
    """A mask of an image, an eighth of a byte per pixel, appended and read by bands.

    Parameters
    ----------
    width : int
        Columns.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._bands: list[npt.NDArray[np.uint8]] = []

    def append(self, band: Mask) -> None:
        """Add the next band, 0 or 1, shape (rows, columns)."""
        self._bands.append(np.packbits(band, axis=1))

    def __iter__(self) -> Iterator[Mask]:
        for bits in self._bands:
            yield np.unpackbits(bits, axis=1, count=self.width)


@dataclass(frozen=True)
class Draft:
    """Pores and opened solid of a whole specimen.

    Parameters
    ----------
    recipe : WorkflowRecipe
        What it is made with.
    width : int
        Columns of the specimen.
    """

    recipe: WorkflowRecipe
    width: int
    _planes: tuple[BitPlane, BitPlane, BitPlane] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        planes = tuple(BitPlane(self.width) for _ in range(3))
        object.__setattr__(self, "_planes", planes)

    def add(self, pores: Mask, opened: Mask, rough: Mask) -> None:
        """Append a band: its pores, its opened solid, and where its contrast is not typical."""
        for plane, mask in zip(self._planes, (pores, opened, rough), strict=True):
            plane.append(mask)

    def phases(self, pixel_nm: float) -> Iterator[Grey]:
        """Yield the phases of the specimen by bands; a pore in a grain stays a pore.

        Parameters
        ----------
        pixel_nm : float
            Nanometres per pixel.
        """
        pores, opened, rough = self._planes
        grains = Grains(opened, rough, self.recipe.silt, pixel_nm)
        for silt, pore in zip(grains.bands(), pores, strict=True):
            phases = np.where(silt, np.uint8(Phase.SILT), np.uint8(Phase.CLAY))
            phases[pore > 0] = Phase.PORE
            yield phases
