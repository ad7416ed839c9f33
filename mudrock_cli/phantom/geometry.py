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

from mudrock_cli.image.phase import Phase
from mudrock_cli.phantom.outlines import Floats, areas
from mudrock_cli.phantom.particles import HOLE, SILT, Particles, draw_particles
from mudrock_cli.phantom.spec import PhantomSpec

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
