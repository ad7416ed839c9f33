"""The particles of a mud: sizes, places, directions and the order in which they lie."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.phantom.outlines import Floats, draw_grains, draw_laths, place
from mudrock_cli.phantom.spec import PhantomSpec

LATH, FLAT, SILT, PYRITE, HOLE = range(5)
"""Kinds: platelet on edge, flat platelet or aggregate, silt grain, bright mineral, pore."""

_COVERAGE = 4.5  # how many times over the plates would cover the area: enough to see a pore's floor
_GRID = 8  # pixels per cell of the coarse fields that steer places and directions


@dataclass(frozen=True)
class Particles:
    """Outlines with the kind of each, ordered by rank: the top particle first.

    Parameters
    ----------
    outlines : list of ndarray, shape (vertices, 2)
        (x, y) in pixels.
    kind : ndarray of uint8, shape (n,)
    centre : ndarray, shape (n, 2)
        (x, y) in pixels.
    """

    outlines: list[Floats]
    kind: npt.NDArray[np.uint8]
    centre: Floats


@dataclass
class _Pile:
    """Particles as they are drawn, before they are ordered."""

    outlines: list[Floats]
    kind: list[npt.NDArray[np.uint8]]
    rank: list[Floats]

    def add(self, outlines: Floats, kind: int, rank: Floats) -> None:
        self.outlines.extend(outlines)
        self.kind.append(np.full(len(outlines), kind, np.uint8))
        self.rank.append(rank)

    def order(self) -> Particles:
        rank = np.concatenate(self.rank)
        order = np.argsort(rank, kind="stable")
        outlines = [self.outlines[i] for i in order]
        centre = np.array([o.mean(axis=0) for o in outlines]).reshape(-1, 2)
        return Particles(outlines, np.concatenate(self.kind)[order], centre)


def draw_particles(
    rng: np.random.Generator, spec: PhantomSpec, shape: tuple[int, int], per_um: float
) -> Particles:
    """Draw everything that may show in a window of `shape` pixels, `per_um` pixels a micrometre."""
    pile = _Pile([], [], [])
    silt = _draw_silt(rng, spec, shape, per_um)
    pile.add(silt, SILT, rng.uniform(-1, 0, len(silt)))
    fields = _Fields(rng, spec, shape, per_um, silt)
    _add_pits(rng, pile, silt, per_um)
    flat_area = _COVERAGE * spec.flat_share
    _add_flats(rng, spec, fields, pile, flat_area)
    _add_laths(rng, spec, fields, pile, _COVERAGE - flat_area)
    return pile.order()


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Floats:
    """Gaussian-like field (H, W) of unit variance that varies over `scale` pixels."""
    cells = (int(shape[0] / scale) + 3, int(shape[1] / scale) + 3)
    coarse = rng.standard_normal(cells)
    size = (int(cells[1] * scale) + 1, int(cells[0] * scale) + 1)
    field = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    top, left = (int(rng.integers(0, max(int(scale), 1))) for _ in range(2))
    return np.asarray(field[top : top + shape[0], left : left + shape[1]] / 0.75)


def _draw_silt(
    rng: np.random.Generator, spec: PhantomSpec, shape: tuple[int, int], per_um: float
) -> Floats:
    """Grains at random places that hardly overlap, some reaching over the border."""
    points = 160
    median, spread = spec.silt_ecd_um * per_um, spec.silt_spread
    largest = 3.2 * median
    margin = largest / 2
    box = np.array([shape[1] + 2 * margin, shape[0] + 2 * margin])
    mean_area = np.pi / 4 * median**2 * np.exp(2 * spread**2)
    wanted = -np.log1p(-spec.silt_fraction) * box[0] * box[1] / mean_area
    tries = int(rng.poisson(2.5 * wanted))
    ecd = np.minimum(median * np.exp(rng.normal(0, spread, tries)), largest)
    centre = rng.uniform(-margin, box - margin, (tries, 2))
    kept: list[int] = []
    for i in range(tries):
        if len(kept) >= wanted:
            break
        gap = np.hypot(*(centre[kept] - centre[i]).T) - 0.47 * (ecd[kept] + ecd[i])
        if (gap > 0).all():
            kept.append(i)
    grains = draw_grains(rng, ecd[kept], points, 1.7, 0.035)
    return place(grains, np.zeros(len(kept)), centre[kept])


class _Fields:
    """Coarse maps that steer platelets: inside silt or not, direction, looseness."""

    def __init__(
        self,
        rng: np.random.Generator,
        spec: PhantomSpec,
        shape: tuple[int, int],
        per_um: float,
        silt: Floats,
    ) -> None:
        self.rng, self.per_um = rng, per_um
        self.margin = int(1.5 * per_um)
        self.size = (shape[0] + 2 * self.margin, shape[1] + 2 * self.margin)
        cells = (self.size[0] // _GRID + 1, self.size[1] // _GRID + 1)
        outside = np.ones(cells, np.uint8)
        for outline in silt:
            cv2.fillPoly(outside, [np.rint((outline + self.margin) / _GRID).astype(np.int32)], 0)
        self.distance = cv2.distanceTransform(outside, cv2.DIST_L2, 3) * _GRID
        wavy = smooth_noise(rng, cells, 1.5 * per_um / _GRID) * 0.5 * (1.3 - spec.fabric)
        bedding = np.deg2rad(spec.bedding_degrees) + wavy
        smooth = cv2.GaussianBlur(self.distance, (0, 0), 4)
        along = np.arctan2(cv2.Sobel(smooth, -1, 0, 1), cv2.Sobel(smooth, -1, 1, 0)) + np.pi / 2
        near = 0.9 * np.exp(-self.distance / (0.5 * per_um)) * (outside > 0)
        # directions are axes: blend them as doubled angles
        blended = (1 - near) * np.exp(2j * bedding) + near * np.exp(2j * along)
        self.direction = np.angle(blended) / 2
        self.scatter = (1 - spec.fabric) * (1 - 0.8 * near) * 1.2 + 0.05
        self.looseness = spec.patchiness * smooth_noise(rng, cells, 1.2 * per_um / _GRID)

    def scatter_points(self, n: int) -> Floats:
        """Uniform places (n, 2) in the window and its margin."""
        height, width = self.size
        return np.asarray(self.rng.uniform(0, 1, (n, 2)) * (width, height) - self.margin)

    def at(self, field: npt.NDArray[np.floating], centre: Floats) -> Floats:
        """Values (n,) of a coarse field at places (n, 2)."""
        cell = ((centre + self.margin) / _GRID).astype(int)
        rows = np.clip(cell[:, 1], 0, field.shape[0] - 1)
        return np.asarray(field[rows, np.clip(cell[:, 0], 0, field.shape[1] - 1)])

    def directions(self, centre: Floats) -> Floats:
        """Direction of a platelet at each place, scattered by the fabric."""
        mean, scatter = self.at(self.direction, centre), self.at(self.scatter, centre)
        return np.asarray(mean + scatter * self.rng.standard_normal(len(centre)))

    def ranks(self, centre: Floats) -> Floats:
        """Ranks in 0..1 and beyond: late where the mud is loose, so that gaps stay there."""
        return np.asarray(
            self.rng.uniform(0, 1, len(centre)) * np.exp(self.at(self.looseness, centre))
        )


def _add_pits(rng: np.random.Generator, pile: _Pile, silt: Floats, per_um: float) -> None:
    """Small holes and short cracks inside some grains, always on top."""
    for outline in silt[rng.uniform(size=len(silt)) < 0.5]:
        n = int(rng.poisson(2.5))
        middle = outline.mean(axis=0)
        pick = outline[rng.integers(0, len(outline), n)]
        centre = middle + (pick - middle) * rng.uniform(0, 0.85, (n, 1))
        ecd = per_um * 0.06 * np.exp(rng.normal(0, 0.6, n))
        pits = draw_grains(rng, ecd, 14, 4.0, 0.1)
        pile.add(place(pits, np.zeros(n), centre), HOLE, np.full(n, -2.0))


def _add_flats(
    rng: np.random.Generator, spec: PhantomSpec, fields: _Fields, pile: _Pile, coverage: float
) -> None:
    """Platelets that lie flat and aggregates: broad, with rough outlines."""
    median = 0.55 * spec.plate_length_um * fields.per_um
    spread = spec.plate_spread
    n = int(coverage * np.prod(fields.size) / (np.pi / 4 * median**2 * np.exp(2 * spread**2)))
    ecd = np.clip(median * np.exp(rng.normal(0, spread, n)), 4, 1.9 * fields.per_um)
    centre = fields.scatter_points(n)
    outlines = draw_grains(rng, ecd, 30, 2.2, 0.07)
    outlines = place(outlines, np.zeros(n), centre)
    ranks = fields.ranks(centre)
    outside = fields.at(fields.distance, centre) > 0
    pile.add(outlines[outside], FLAT, ranks[outside])


def _add_laths(
    rng: np.random.Generator, spec: PhantomSpec, fields: _Fields, pile: _Pile, coverage: float
) -> None:
    """Packets of platelets on edge, some with a slit along one side."""
    spread, per_um = spec.plate_spread, fields.per_um
    length_px, thick_px = spec.plate_length_um * per_um, spec.plate_thickness_um * per_um
    n = int(coverage * np.prod(fields.size) / (0.75 * length_px * thick_px * np.exp(spread**2)))
    packet = np.sort(rng.integers(0, max(n // 2, 1), n))
    place_in = np.arange(n) - np.searchsorted(packet, packet)
    thickness = np.clip(thick_px * np.exp(rng.normal(0, spread, n)), 2.5, None)
    length = length_px * np.exp(rng.normal(0, spread, n)) * np.sqrt(thickness / thick_px)
    length = np.clip(length, 2 * thickness, 7 * per_um)
    start = fields.scatter_points(n)[packet]
    angle = fields.directions(start)[packet] + rng.normal(0, 0.08, n)
    step = place_in * thick_px * 1.4 * rng.uniform(0.7, 1.3, n)
    normal = np.stack([-np.sin(angle), np.cos(angle)], axis=-1)
    slide = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * (
        length * rng.uniform(-0.3, 0.3, n) * (place_in > 0)
    ).reshape(-1, 1)
    centre = start + normal * step[:, None] + slide
    outlines = place(draw_laths(rng, length, thickness, 0.05), angle, centre)
    ranks = fields.ranks(start)[packet] + rng.uniform(0, 0.05, n)
    outside = fields.at(fields.distance, centre) > 0
    pile.add(outlines[outside], LATH, ranks[outside])
    slit = outside & (rng.uniform(size=n) < spec.slit_share)
    gap = rng.choice([-1, 1], n) * rng.gamma(2.0, 0.012 * per_um, n)
    holes = outlines[slit] + (normal * gap[:, None])[slit][:, None, :]
    pile.add(holes, HOLE, ranks[slit] + 1e-9)
