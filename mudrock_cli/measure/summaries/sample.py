"""What one image gives to the figures of a summary, be it of this image, a group or all."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mudrock_cli.image.phase import Phase
from mudrock_cli.image.pixel_size import PixelSize
from mudrock_cli.measure.objects.cells import CellCounter, find_blocks, lay_blocks, sum_blocks
from mudrock_cli.measure.objects.hull import Floats
from mudrock_cli.measure.summaries.instances import Columns

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
    """

    ecd: Floats
    area: Floats
    weight: Floats
    block: Blocks


@dataclass(frozen=True)
class Sample:
    """One measured image.

    Parameters
    ----------
    pixel_size : PixelSize
        Side of its pixels.
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
    areas: Floats
    small_silt: Floats
    small_regions: int
    grains: dict[Phase, Grains]


def take_sample(columns: Columns, cells: CellCounter, pixel_size: PixelSize) -> Sample:
    """Gather what the summary of an image needs.

    Parameters
    ----------
    columns : mapping of str to ndarray
        Its objects, from `survey_objects`.
    cells : CellCounter
        Its phases in cells.
    pixel_size : PixelSize
        Side of its pixels.
    """
    blocks = lay_blocks(cells.counts.shape[:2])
    counts = np.concatenate([cells.counts, cells.small_silt[..., None]], axis=2)
    sums = sum_blocks(counts, blocks).astype(np.float64) * pixel_size.um**2
    # Blocks without specimen tell nothing and are left out.
    solid = sums[:, :3].sum(axis=1) > 0
    number = np.maximum(np.cumsum(solid) - 1, 0)
    counted_as = columns["counted_as"]
    centroids = columns["centroid_row_px"], columns["centroid_column_px"]
    block = number[find_blocks(*centroids, blocks, cells.side)]
    grains = {}
    for phase in (Phase.SILT, Phase.PORE):
        kept = counted_as == phase
        grains[phase] = Grains(
            ecd=columns["ecd_um"][kept],
            area=columns["area_um2"][kept],
            weight=columns["frame_weight"][kept],
            block=block[kept],
        )
    return Sample(
        pixel_size=pixel_size,
        areas=sums[solid, :3],
        small_silt=sums[solid, 3],
        small_regions=int(np.count_nonzero(counted_as == Phase.CLAY)),
        grains=grains,
    )
