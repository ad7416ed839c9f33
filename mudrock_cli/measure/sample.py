"""What one image gives to the figures of a summary, be it of this image, a group or all."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mudrock_cli.image.phase import Phase
from mudrock_cli.image.pixel_size import PixelSize
from mudrock_cli.image.window import Box
from mudrock_cli.measure.arrow import view_numbers
from mudrock_cli.measure.cells import find_blocks, lay_blocks, sum_blocks
from mudrock_cli.measure.field import CellCounter
from mudrock_cli.measure.hull import Bools, Floats

Blocks = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Grains:
    """The objects that count as one phase. N is their number.

    Parameters
    ----------
    ecd, area : ndarray of float64, shape (N,)
        Equivalent-circle diameter, µm, and area, µm².
    weight : ndarray of float64, shape (N,)
        Frame weight.
    block : ndarray of intp, shape (N,)
        Block of the image in which the centroid lies.
    place : ndarray of float64, shape (N, 2)
        Centroid from the upper left corner of the specimen, down and across, µm.
    axis : ndarray of float64, shape (N,)
        Direction of the long axis, radians, counter-clockwise from the horizontal.
    elongated : ndarray of bool, shape (N,)
        Long enough to have a direction.
    """

    ecd: Floats
    area: Floats
    weight: Floats
    block: Blocks
    place: Floats
    axis: Floats
    elongated: Bools


@dataclass(frozen=True)
class Sample:
    """One measured image.

    Parameters
    ----------
    pixel_size : PixelSize
        Side of its pixels.
    frame : (float, float)
        Height and width of the specimen, µm.
    cells : CellCounter
        Phases in cells.
    areas : ndarray of float64, shape (B, 3)
        Area of clay, silt and pore in each block as the mask shows them, µm².
    small_silt : ndarray of float64, shape (B,)
        Area of the silt in each block that counts as clay, µm².
    small_regions : int
        Number of silt regions that count as clay.
    grains : dict of Phase to Grains
        Silt grains and pores.
    """

    pixel_size: PixelSize
    frame: tuple[float, float]
    cells: CellCounter
    areas: Floats
    small_silt: Floats
    small_regions: int
    grains: dict[Phase, Grains]


ELONGATED = 1.2
"""Least aspect ratio of an object that has a direction."""


def take_sample(
    instances: pa.Table,
    cells: CellCounter,
    pixel_size: PixelSize,
    specimen: Box,
) -> Sample:
    """Gather what the summary of an image needs.

    Parameters
    ----------
    instances : pyarrow.Table
        Its instance table.
    cells : CellCounter
        Its phases in cells.
    pixel_size : PixelSize
        Side of its pixels.
    specimen : Box
        Where the specimen is.
    """
    um = pixel_size.um
    blocks = lay_blocks(cells.counts.shape[:2])
    counts = np.concatenate([cells.counts, cells.small_silt[..., None]], axis=2)
    sums = sum_blocks(counts, blocks) * um**2
    areas, small_silt = sums[:, :3], sums[:, 3]
    # Blocks without specimen tell nothing and are left out.
    solid = areas.sum(axis=1) > 0
    areas, small_silt = areas[solid], small_silt[solid]
    number = np.maximum(np.cumsum(solid) - 1, 0)
    counted_as = view_numbers(instances["counted_as"])
    column = {
        name: view_numbers(instances[name])
        for name in (
            "ecd_um", "area_um2", "frame_weight", "centroid_row_px", "centroid_column_px",
            "orientation_deg", "aspect_ratio",
        )
    }  # fmt: skip
    centre = column["centroid_row_px"], column["centroid_column_px"]
    block = number[find_blocks(*centre, blocks, cells.side)]
    place = np.stack([centre[0] - specimen.top, centre[1] - specimen.left], axis=1)
    # A line of pixels has no short axis, and so no ratio, but a direction.
    directed = ~np.isnan(column["orientation_deg"]) & ~(column["aspect_ratio"] < ELONGATED)
    grains = {}
    for phase in (Phase.SILT, Phase.PORE):
        kept = counted_as == phase
        grains[phase] = Grains(
            ecd=column["ecd_um"][kept],
            area=column["area_um2"][kept],
            weight=column["frame_weight"][kept],
            block=block[kept],
            place=(place[kept] + 0.5) * um,
            axis=np.radians(column["orientation_deg"][kept]),
            elongated=directed[kept],
        )
    return Sample(
        pixel_size=pixel_size,
        frame=(specimen.height * um, specimen.width * um),
        cells=cells,
        areas=areas,
        small_silt=small_silt,
        small_regions=int(np.count_nonzero(counted_as == Phase.CLAY)),
        grains=grains,
    )
