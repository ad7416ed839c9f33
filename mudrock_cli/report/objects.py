"""The objects of one image, of a group or of all, as arrays for figures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mudrock_cli.measure.objects.cells import cell_side, find_blocks, lay_blocks
from mudrock_cli.measure.statistics.fabric import AxialMean, axial_mean, have_direction, rose
from mudrock_cli.measure.statistics.intervals import bootstrap_shares
from mudrock_cli.measure.statistics.resolution import SizeHistogram, bin_sizes
from mudrock_cli.report.figures import Curve
from mudrock_cli.report.tables import Row, Tables

Floats = npt.NDArray[np.float64]

_POINTS = 64


@dataclass(frozen=True)
class Objects:
    """Silt grains or pores of some images. N is their number, B that of blocks.

    Parameters
    ----------
    ecd, area, axis : ndarray of float64, shape (N,)
        Equivalent-circle diameter (µm), area (µm²), long axis (radians).
    directed : ndarray of bool, shape (N,)
        Whether its long axis is a direction, see `have_direction`.
    block : ndarray of intp, shape (N,)
        Block in which each lies, counted over all images.
    image : ndarray of intp, shape (B,)
        Image of each block.
    """

    ecd: Floats
    area: Floats
    axis: Floats
    directed: npt.NDArray[np.bool_]
    block: npt.NDArray[np.intp]
    image: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.ecd)

    def bin_sizes(self) -> SizeHistogram:
        """Return the size distribution by number and by area."""
        return bin_sizes(self.ecd, self.area)

    def accumulate(self) -> tuple[Curve, Curve]:
        """Return the cumulative size distributions by number and by area, with bands."""
        sizes = np.geomspace(self.ecd.min(), max(self.ecd.max(), self.ecd.min() * 1.1), _POINTS)
        sizes[-1] *= 1 + 1e-12
        number, area = (
            Curve(sizes, *bootstrap_shares(self.ecd, weights, self.block, self.image, sizes))
            for weights in (np.ones(len(self)), self.area)
        )
        return number, area

    def orient(self) -> tuple[Floats, Floats, AxialMean]:
        """Return the rose of objects with a direction, and their mean axis (0 to pi)."""
        axes = self.axis[self.directed]
        edges, shares = rose(axes - np.pi / 2)
        mean = axial_mean(axes)
        return edges + np.pi / 2, shares, replace(mean, angle=mean.angle % math.pi)


def split_objects(tables: Tables) -> dict[tuple[str, str], Objects]:
    """Return the objects of each image and phase, keyed by image name and phase."""
    columns = _to_arrays(tables.instances)
    images = {row["image"]: row for row in tables.images}
    found = {}
    for name, row in images.items():
        own = columns["image"] == name
        for phase in ("pore", "silt"):
            kept = own & (columns["counted_as"] == phase)
            blocks, side = _lay(row)
            found[name, phase] = Objects(
                ecd=columns["ecd_um"][kept],
                area=columns["area_um2"][kept],
                axis=np.radians(columns["orientation_deg"][kept]),
                directed=have_direction(
                    columns["orientation_deg"][kept],
                    columns["aspect_ratio"][kept],
                    columns["area_px"][kept],
                ),
                block=find_blocks(
                    columns["centroid_row_px"][kept],
                    columns["centroid_column_px"][kept],
                    blocks,
                    side,
                ),
                image=np.zeros(int(blocks.max()) + 1, np.intp),
            )
    return found


def pool_objects(parts: Sequence[Objects]) -> Objects:
    """Return the objects of several images as one, blocks numbered on."""
    starts = np.cumsum([0, *(len(part.image) for part in parts[:-1])])
    ecd, area, axis, directed = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("ecd", "area", "axis", "directed")
    )
    block = [part.block + start for part, start in zip(parts, starts, strict=True)]
    image = np.repeat(np.arange(len(parts)), [len(part.image) for part in parts])
    return Objects(ecd, area, axis, directed, np.concatenate(block), image)


def _to_arrays(table: pa.Table) -> dict[str, npt.NDArray[np.object_] | Floats]:
    names = (
        "image", "counted_as", "ecd_um", "area_px", "area_um2", "orientation_deg", "aspect_ratio",
        "centroid_row_px", "centroid_column_px",
    )  # fmt: skip
    return {name: table[name].to_numpy(zero_copy_only=False) for name in names}


def _lay(row: Row) -> tuple[npt.NDArray[np.intp], int]:
    """Return the blocks of an image, as the summary was computed with, and its cell side."""
    shape = (int(row["height_px"]), int(row["width_px"]))
    side = cell_side(shape)
    return lay_blocks((math.ceil(shape[0] / side), math.ceil(shape[1] / side))), side
