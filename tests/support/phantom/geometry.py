"""What is where: a packing of silt grains, clay platelets and the pores between them.

A dead-leaves model seen from above. Every particle has a rank, 0 lies on top; particles are painted
from the last rank to the first, so a pixel keeps the top one. The polished surface is made of the
particles above a cut, and whatever shows deeper than the cut is seen through a pore. The cut is
chosen such that the pores have the wanted area: one painting gives the surface, the pores between
angular particles, and what lies at their bottom.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.image.types import Phase
from phantom.shapes import (
    HOLE,
    SILT,
    Floats,
    Particles,
    PhantomSpec,
    areas,
    draw_particles,
)

_SHIFT = 4  # fractional bits of the vertices that cv2.fillPoly takes
RECESS = 0.2
"""Depth up to which a particle belongs to the surface: sunk a little, darker, no pore."""
_HOLE_SHARE = 0.6  # of the pores' area at most; the rest lies between particles
_RECESSED_SHARE = 0.16  # of the matrix area
MIN_SILT_UM = 2.0
"""Equivalent-circle diameter from which a grain is silt (Bihani et al. 2022)."""


@dataclass(frozen=True)
class Packing:
    """Particles painted on a grid.

    Parameters
    ----------
    front : ndarray of int32, shape (H, W)
        Rank of the particle that shows at each pixel; ``len(particles)`` where none does.
    particles : Particles
        Ordered by rank, the top one first.
    depth : ndarray of float32, shape (n + 1,)
        Of each particle: 0 at the polished surface, up to `RECESS` for those a little below it,
        growing to 1 for the deepest that shows through a pore.
    """

    front: npt.NDArray[np.int32]
    particles: Particles
    depth: npt.NDArray[np.float32]

    def phases(self, pixel_nm: float) -> npt.NDArray[np.uint8]:
        """Exact phases (H, W): what is below the surface is pore, grains up to 2 µm are clay."""
        table = np.full(self.depth.size, Phase.CLAY, np.uint8)
        ecd_um = 2 * np.sqrt(areas_of(self.particles) / np.pi) * pixel_nm / 1e3
        table[:-1][(self.particles.kind == SILT) & (ecd_um > MIN_SILT_UM)] = Phase.SILT
        table[self.depth > RECESS] = Phase.PORE
        return np.asarray(table[self.front])


def areas_of(particles: Particles) -> Floats:
    """Area of each particle's whole outline, pixels."""
    return np.array([areas(outline[None])[0] for outline in particles.outlines])


def pack(
    rng: np.random.Generator, spec: PhantomSpec, shape: tuple[int, int], pixel_nm: float
) -> Packing:
    """Draw particles and paint them.

    Parameters
    ----------
    rng : numpy.random.Generator
    spec : PhantomSpec
    shape : tuple of int
        Height and width in pixels.
    pixel_nm : float
        Nanometres per pixel.
    """
    particles = draw_particles(rng, spec, shape, 1e3 / pixel_nm)
    front = _paint(particles.outlines, shape)
    matrix_porosity = min(spec.porosity / (1 - spec.silt_fraction), 0.9)
    return Packing(front, particles, _find_depth(front, particles.kind, matrix_porosity))


def _paint(outlines: list[Floats], shape: tuple[int, int]) -> npt.NDArray[np.int32]:
    front = np.full(shape, len(outlines), np.int32)
    for rank in range(len(outlines) - 1, -1, -1):
        vertices = np.rint(outlines[rank] * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(front, [vertices], float(rank), cv2.LINE_8, _SHIFT)
    return front


def _find_depth(
    front: npt.NDArray[np.int32], kind: npt.NDArray[np.uint8], matrix_porosity: float
) -> npt.NDArray[np.float32]:
    """Cut the ranks such that `matrix_porosity` of the area outside silt is pore."""
    n = kind.size
    shown = np.bincount(front.ravel(), minlength=n + 1)
    silt, hole = np.append(kind == SILT, False), np.append(kind == HOLE, False)
    matrix = max(front.size - int(shown[silt].sum()), 1)
    # slits and pits beyond their share are shallow grooves, or they would exceed a small porosity
    deep = hole & (np.cumsum(np.where(hole, shown, 0)) <= _HOLE_SHARE * matrix_porosity * matrix)
    deep[n] = True
    filled = np.cumsum(np.where(~silt & ~deep, shown, 0)) / matrix
    top = 1 - matrix_porosity
    recessed, pore = np.minimum(np.searchsorted(filled, (top - _RECESSED_SHARE, top)) + 1, n)
    depth = np.zeros(n + 1, np.float32)
    depth[recessed:pore] = np.linspace(0.01, RECESS, pore - recessed)
    depth[pore:] = np.linspace(RECESS + 0.02, 1, n + 1 - pore)
    depth[hole] = np.maximum(depth[hole], RECESS)
    depth[deep] = np.maximum(depth[deep], 0.7)
    depth[silt] = 0
    return depth


# Exact phases brought to the habits of hand-corrected labels.
#
# The labels of Bihani et al. (2022) come from an image-processing workflow that looks for smooth
# and for dark regions: silt ends some 0.15 µm inside the visible outline, is opened by a disc and
# takes in the pits and cracks of its grain; a pore with a bright floor is clay. Exact truth does
# none of that, and `Phantom.phases` stays exact.

RIM_UM = 0.15
"""Distance between silt labels and the nearest pore: first percentiles on three micrographs are
0.12, 0.14 and 0.16 µm, medians 0.18 to 0.21 µm."""
_OPENING_UM = 0.08
_PIT_UM2 = 0.12  # the largest hole that is swallowed


def label_like_workflow(
    phases: npt.NDArray[np.uint8],
    grey: npt.NDArray[np.uint8],
    pixel_nm: float,
    *,
    pore_level: float,
    rim_um: float = RIM_UM,
) -> npt.NDArray[np.uint8]:
    """Redraw silt and pores as the workflow does.

    Silt loses its pits, retreats from its rim and is opened by a disc; pores keep what is dark.

    Parameters
    ----------
    phases : ndarray of uint8, shape (H, W)
        Exact phases.
    grey : ndarray of uint8, shape (H, W)
        The picture.
    pixel_nm : float
        Nanometres per pixel.
    pore_level : float
        Grey from which on a pore is taken for clay.
    rim_um : float
        Width of the rim of silt that turns to clay, micrometres.

    Returns
    -------
    ndarray of uint8, shape (H, W)
    """
    per_um = 1e3 / pixel_nm
    grains = (phases == Phase.SILT).astype(np.uint8)
    silt = grains | _small_inside(1 - grains, _PIT_UM2 * per_um**2)
    opening = _OPENING_UM * per_um
    core = _distance(silt) > rim_um * per_um + opening
    opened = (_distance((~core).astype(np.uint8)) <= opening) & (silt > 0)
    opened &= ~_small_inside(opened.astype(np.uint8), np.pi / 4 * (MIN_SILT_UM * per_um) ** 2)
    dark = cv2.GaussianBlur(grey, (0, 0), 0.7) < pore_level
    labels = np.where((phases == Phase.PORE) & dark, np.uint8(Phase.PORE), np.uint8(Phase.CLAY))
    labels[silt > 0] = Phase.CLAY
    labels[opened] = Phase.SILT
    return np.asarray(labels, np.uint8)


def _small_inside(region: npt.NDArray[np.uint8], limit: float) -> npt.NDArray[np.bool_]:
    """Pieces of a region that are smaller than `limit` pixels and do not touch the border."""
    _, label, stats, _ = cv2.connectedComponentsWithStats(region, connectivity=4)
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right = left + stats[:, cv2.CC_STAT_WIDTH]
    bottom = top + stats[:, cv2.CC_STAT_HEIGHT]
    inside = (left > 0) & (top > 0) & (right < region.shape[1]) & (bottom < region.shape[0])
    small = stats[:, cv2.CC_STAT_AREA] < limit
    small[0] = False  # what is outside the region
    return np.asarray((small & inside)[label])


def _distance(region: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Distance of every pixel of `region` to its outside, pixels; the border is no outside."""
    return np.asarray(cv2.distanceTransform(region, cv2.DIST_L2, 5), np.float32)
