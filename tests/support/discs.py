"""Micrographs of a rock of hard discs, whose fractions and sizes are known exactly."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from mudrock_cli.image.types import Phase

Floats = npt.NDArray[np.float64]
PIXEL_UM = 0.05
GAP_UM = 0.1  # two pixels, so that discs stay apart in the mask


@dataclass(frozen=True)
class Discs:
    """Diameters of one phase: lognormal, cut off at both ends; µm."""

    median: float
    sigma: float
    least: float
    largest: float

    @property
    def area(self) -> float:
        """Mean area, µm², to three digits."""
        return _mean_area(self)

    def draw(self, rng: np.random.Generator, number: int) -> Floats:
        """Draw diameters."""
        found = np.zeros(0)
        while len(found) < number:
            more = self.median * np.exp(self.sigma * rng.standard_normal(2 * number + 8))
            found = np.append(found, more[(more >= self.least) & (more <= self.largest)])
        return found[:number]


@cache
def _mean_area(discs: Discs) -> float:
    return float(np.pi / 4 * np.mean(discs.draw(np.random.default_rng(0), 1_000_000) ** 2))


SILT = Discs(3.5, 0.35, 2.2, 9.0)
PORES = Discs(0.5, 0.5, 0.15, 2.0)


def draw_field(
    rng: np.random.Generator,
    side_um: float,
    silt: float = 0.15,
    pore: float = 0.08,
    pixel_um: float = PIXEL_UM,
) -> npt.NDArray[np.uint8]:
    """Draw a square window into a rock of discs that do not overlap.

    Discs lie on a torus wider than the window, their number is Poisson's, so that the mean
    fractions of many windows are `silt` and `pore`. Returns phases, shape (H, W).
    """
    wide = side_um + 2 * SILT.largest
    phases = np.zeros((round(side_um / pixel_um),) * 2, np.uint8)
    grains = pores = None
    while grains is None:  # so many that they find no room are drawn again
        grains = _place(rng, SILT.draw(rng, rng.poisson(silt * wide**2 / SILT.area)), wide)
    while pores is None:
        number = rng.poisson(pore * wide**2 / PORES.area)
        pores = _place(rng, PORES.draw(rng, number), wide, grains)
    for phase, discs in ((Phase.SILT, grains), (Phase.PORE, pores)):
        for down in (-wide, 0, wide):
            for along in (-wide, 0, wide):
                _paint(phases, discs + np.array([down, along, 0]), phase, pixel_um)
    return phases


def _place(
    rng: np.random.Generator, diameters: Floats, wide: float, grains: Floats | None = None
) -> Floats | None:
    """Place discs, the largest first, where they touch none; rows, columns and radii."""
    waiting, lying = np.sort(diameters)[::-1] / 2, np.zeros((0, 3))
    reach = 2 * float(waiting.max(initial=0)) + GAP_UM
    for _ in range(1000):
        if not len(waiting):
            return lying
        tried = np.column_stack([rng.uniform(0, wide, (len(waiting), 2)), waiting])
        free = np.ones(len(tried), bool)
        if grains is not None:
            apart = np.abs(tried[:, None, :2] - grains[None, :, :2])
            apart = np.hypot(*np.moveaxis(np.minimum(apart, wide - apart), 2, 0))
            free = (apart > tried[:, None, 2] + grains[None, :, 2] + GAP_UM).all(axis=1)
        every = np.concatenate([lying, tried])
        pairs = cKDTree(every[:, :2], boxsize=wide).query_pairs(reach, output_type="ndarray")
        apart = np.abs(every[pairs[:, 0], :2] - every[pairs[:, 1], :2])
        apart = np.hypot(*np.minimum(apart, wide - apart).T)
        touch = apart <= every[pairs, 2].sum(axis=1) + GAP_UM
        later = pairs[touch].max(axis=1) - len(lying)  # of two that touch the first stays
        free[later[later >= 0]] = False
        lying, waiting = np.concatenate([lying, tried[free]]), waiting[~free]
    return None


def _paint(phases: npt.NDArray[np.uint8], discs: Floats, phase: int, pixel_um: float) -> None:
    """Paint discs by the pixels whose centres they hold."""
    places, radii = discs[:, :2] / pixel_um - 0.5, discs[:, 2] / pixel_um
    first = np.maximum(np.ceil(places - radii[:, None]), 0).astype(int)
    last = np.minimum(np.floor(places + radii[:, None]) + 1, len(phases)).astype(int)
    for row in np.flatnonzero((first < last).all(axis=1)):
        (top, left), (bottom, right), (y, x) = first[row], last[row], places[row]
        rows, columns = np.ogrid[top:bottom, left:right]
        inside = (rows - y) ** 2 + (columns - x) ** 2 <= radii[row] ** 2
        phases[top:bottom, left:right][inside] = phase
