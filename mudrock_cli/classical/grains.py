"""Grains chosen by size: on the whole image, never on a band."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from mudrock_cli.classical.recipe import SiltRecipe
from mudrock_cli.classical.regions import (
    Keep,
    Piece,
    Regions,
    find_pieces,
    join_pieces,
    keep_regions,
)
from mudrock_cli.image.packed import Packed
from mudrock_cli.image.phase import Phase
from mudrock_cli.spread import Spread

Planes = tuple[Packed, Packed, Packed]
"""Pores, opened solid, and where the contrast is twice the typical one: masks of a band."""

_SOLID, _AROUND = 4, 8  # neighbours of a pixel in a grain, and in what is around the grains


def choose_grains(
    planes: Sequence[Planes], silt: SiltRecipe, pixel_nm: float, spread: Spread
) -> Iterator[Packed]:
    """Choose the silt grains among the regions of the opened solid, and put the phases together.

    A grain that the frame cuts counts by the circle of which the frame would leave what is visible.

    Parameters
    ----------
    planes : sequence of tuple of Packed
        The bands of an image, from top to bottom.
    silt : SiltRecipe
        Sizes of grains and of the holes in them, and how rough a grain may be.
    pixel_nm : float
        Nanometres per pixel.
    spread : Spread
        Who labels the bands.

    Yields
    ------
    Packed
        Phases of a band, uint8, shape (rows, columns).
    """
    regions = join_pieces(spread(_measure_opened, planes), _SOLID)
    large = _whole_diameters(regions) * pixel_nm + 2 * silt.rim_nm >= silt.min_ecd_nm
    kept = regions.keep(large & (regions.marked <= silt.rough_share * regions.areas))
    grains: list[Packed] = []

    def gather() -> Iterator[Piece]:
        for grain, around in spread(_take_grains, zip(planes, kept, strict=True)):
            grains.append(grain)
            yield around

    around = join_pieces(gather(), _AROUND)
    small = _diameters(around.areas) * pixel_nm <= silt.hole_nm
    holes = around.keep(small & (around.at_sides + around.at_ends == 0))
    yield from spread(_lay_phases, zip(planes, grains, holes, strict=True))


def _measure_opened(planes: Planes) -> Piece:
    _, opened, rough = planes
    return find_pieces(opened.unpack(), _SOLID, rough.unpack())


def _take_grains(part: tuple[Planes, Keep]) -> tuple[Packed, Piece]:
    """Return the grains of a band, and the regions around them."""
    (_, opened, _), keep = part
    grains = keep_regions(opened.unpack(), keep, _SOLID)
    return Packed.pack(grains, bits=True), find_pieces(1 - grains, _AROUND)


def _lay_phases(part: tuple[Planes, Packed, Keep]) -> Packed:
    """Fill the holes in the grains of a band; pores come last."""
    (pores, _, _), packed, holes = part
    grains = packed.unpack()
    silt = grains | keep_regions(1 - grains, holes, _AROUND)
    phases = np.where(silt, np.uint8(Phase.SILT), np.uint8(Phase.CLAY))
    phases[pores.unpack() > 0] = Phase.PORE
    return Packed.pack(phases)


def _diameters(areas: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return equivalent-circle diameters in pixels."""
    return np.asarray(np.sqrt(4 / math.pi * areas))


def _whole_diameters(regions: Regions) -> npt.NDArray[np.float64]:
    """Return the diameters of the circles of which the frame would leave as much, pixels.

    A chord cuts from a circle of diameter d a segment with the area d^2 (t - sin t) / 8 and the
    chord d sin(t / 2), where t is the central angle: their ratio tells t. Where two sides of the
    frame meet, what lies between the corner and the chord is no part of the segment. A sliver tells
    little of its circle: no grain counts for more than four times what is visible of it.
    """
    half = np.linspace(0, math.pi, 2048)[1:-1]  # of the central angle
    ratios = (2 * half - np.sin(2 * half)) / (8 * np.sin(half) ** 2)
    chords = np.hypot(regions.at_sides, regions.at_ends)
    segments = regions.areas - regions.at_sides * regions.at_ends / 2
    ratio = segments / np.maximum(chords, 1) ** 2
    circles = chords / np.sin(np.interp(ratio, ratios, half))
    visible = _diameters(regions.areas)
    return np.asarray(np.clip(circles, visible, 2 * visible))
