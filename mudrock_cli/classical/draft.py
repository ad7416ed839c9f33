"""What the workflow finds on an image before it chooses the grains."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from mudrock_cli.classical.contrast import Grey, Mask
from mudrock_cli.classical.grains import choose_grains
from mudrock_cli.classical.recipe import WorkflowRecipe
from mudrock_cli.image.packed import Packed
from mudrock_cli.spread import Spread, in_turn


@dataclass(frozen=True)
class Sketch:
    """Masks of a band, compressed: a hundredth of a byte per pixel or a few.

    Parameters
    ----------
    pores, opened, rough : Packed
        Pores, opened solid, and where the contrast is not typical.
    """

    pores: Packed
    opened: Packed
    rough: Packed

    @classmethod
    def pack(cls, pores: Mask, opened: Mask, rough: Mask) -> Self:
        """Compress three masks of 0 and 1, shape (rows, columns)."""
        return cls(*(Packed.pack(mask, bits=True) for mask in (pores, opened, rough)))


@dataclass(frozen=True)
class Draft:
    """Pores and opened solid of a whole specimen.

    Parameters
    ----------
    recipe : WorkflowRecipe
        What it is made with.
    sketches : list of Sketch
        The bands, from top to bottom.
    """

    recipe: WorkflowRecipe
    sketches: list[Sketch] = field(default_factory=list, repr=False)

    def phases(self, pixel_nm: float, spread: Spread = in_turn) -> Iterator[Grey]:
        """Yield the phases of the specimen by bands; a pore in a grain stays a pore.

        Parameters
        ----------
        pixel_nm : float
            Nanometres per pixel.
        spread : Spread
            Who labels the bands.
        """
        planes = [(sketch.pores, sketch.opened, sketch.rough) for sketch in self.sketches]
        for phases in choose_grains(planes, self.recipe.silt, pixel_nm, spread):
            yield phases.unpack()
