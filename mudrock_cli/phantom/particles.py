"""The particles of a mud: sizes, places, directions and the order in which they lie."""

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.phantom.fabric import Fabric
from mudrock_cli.phantom.outlines import Floats, draw_grains, draw_laths, place
from mudrock_cli.phantom.spec import PhantomSpec

LATH, FLAT, SILT, PYRITE, HOLE = range(5)
"""Kinds: platelet on edge, flat platelet or aggregate, silt grain, bright mineral, pore."""

_COVERAGE = 4.5  # how many times over the plates would cover the area: enough to see a pore's floor
_ON_TOP, _COATING, _IN_FRONT = -3.0, -2.0, -1.0  # ranks of holes, of flakes on silt, of silt


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

    outlines: list[Floats] = field(default_factory=list)
    kind: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    rank: list[Floats] = field(default_factory=list)

    def add(self, outlines: Floats, kind: int, rank: Floats) -> None:
        self.outlines.extend(outlines)
        self.kind.append(np.full(len(outlines), kind, np.uint8))
        self.rank.append(rank)

    def order(self) -> Particles:
        order = np.argsort(np.concatenate(self.rank), kind="stable")
        outlines = [self.outlines[i] for i in order]
        centre = np.array([o.mean(axis=0) for o in outlines]).reshape(-1, 2)
        return Particles(outlines, np.concatenate(self.kind)[order], centre)


def draw_particles(
    rng: np.random.Generator, spec: PhantomSpec, shape: tuple[int, int], per_um: float
) -> Particles:
    """Draw everything that may show in a window of `shape` pixels, `per_um` pixels a micrometre."""
    pile = _Pile()
    silt = _draw_silt(rng, spec, shape, per_um)
    fabric = Fabric(rng, spec, shape, per_um, silt)
    pile.add(silt, SILT, rng.uniform(_IN_FRONT, 0, len(silt)))
    _add_gaps_and_pits(rng, pile, silt, per_um)
    _add_coatings(rng, spec, pile, silt, per_um)
    _add_framboids(rng, fabric, pile)
    _add_flats(rng, spec, fabric, pile, _COVERAGE * spec.flat_share)
    _add_laths(rng, spec, fabric, pile, _COVERAGE * (1 - spec.flat_share))
    return pile.order()


def _draw_silt(
    rng: np.random.Generator, spec: PhantomSpec, shape: tuple[int, int], per_um: float
) -> Floats:
    """Grains that hardly overlap, some over the border, until they cover the wanted share.

    A grain stays if it brings the share of silt in the window nearer to the wanted one.
    """
    median = spec.silt_ecd_um * per_um
    cell = max(int(median / 90), 1)  # coarse enough to be fast, fine against a grain
    largest = min(3.2 * median, 12 * per_um)
    margin = largest / 2
    box = np.array([shape[1] + 2 * margin, shape[0] + 2 * margin])
    tries = 30 + int(20 * spec.silt_fraction * box.prod() / median**2)
    ecd = np.minimum(median * np.exp(rng.normal(0, spec.silt_spread, tries)), largest)
    centre = rng.uniform(-margin, box - margin, (tries, 2))
    grains = place(draw_grains(rng, ecd, 200, 1.7, 0.04), np.zeros(tries), centre)
    taken = np.zeros((int(box[1] / cell) + 1, int(box[0] / cell) + 1), np.uint8)
    top = int(margin / cell)
    window = np.s_[top : top + shape[0] // cell + 1, top : top + shape[1] // cell + 1]
    overlap = 0.03 + spec.silt_fraction**2  # a dense packing cannot avoid it
    share, kept = 0.0, []
    for i in range(tries if spec.silt_fraction > 0 else 0):
        grain = np.zeros_like(taken)
        cv2.fillPoly(grain, [np.rint((grains[i] + margin) / cell).astype(np.int32)], 1)
        more = float((taken | grain)[window].mean())
        nearer = abs(more - spec.silt_fraction) <= abs(share - spec.silt_fraction)
        if nearer and (grain & taken).sum() <= overlap * grain.sum():
            taken |= grain
            share = more
            kept.append(i)
    return np.asarray(grains[kept])


def _add_gaps_and_pits(rng: np.random.Generator, pile: _Pile, silt: Floats, per_um: float) -> None:
    """Crescent gaps along one side of silt grains; small holes and short cracks inside some."""
    shift = rng.normal(0, 0.05 * per_um, (len(silt), 1, 2))
    pile.add(silt + shift, HOLE, np.full(len(silt), 1e-9))
    for outline in silt[rng.uniform(size=len(silt)) < 0.5]:
        n = int(rng.poisson(2.5))
        middle = outline.mean(axis=0)
        rim = outline[rng.integers(0, len(outline), n)]
        centre = middle + (rim - middle) * rng.uniform(0, 0.85, (n, 1))
        ecd = per_um * 0.06 * np.exp(rng.normal(0, 0.6, n))
        pits = draw_grains(rng, ecd, 14, 4.0, 0.1)
        pile.add(place(pits, np.zeros(n), centre), HOLE, np.full(n, _ON_TOP))


def _add_coatings(
    rng: np.random.Generator, spec: PhantomSpec, pile: _Pile, silt: Floats, per_um: float
) -> None:
    """Flakes that lap over the rims of silt grains, roughly along them."""
    for outline in silt:
        perimeter = np.hypot(*np.diff(outline, axis=0).T).sum()
        n = int(rng.poisson(perimeter / per_um * rng.uniform(0, 4)))
        at = rng.integers(0, len(outline) - 1, n)
        along = outline[at + 1] - outline[at]
        angle = np.arctan2(along[:, 1], along[:, 0]) + rng.normal(0, 0.3, n)
        thickness = 0.5 * spec.plate_thickness_um * per_um * np.exp(rng.normal(0, 0.5, n))
        length = thickness * rng.uniform(1.5, 8, n)
        centre = outline[at] + rng.normal(0, 0.04 * per_um, (n, 2))
        flakes = place(draw_laths(rng, length, thickness, 0.08), angle, centre)
        pile.add(flakes, LATH, rng.uniform(_COATING, _IN_FRONT, n))


def _add_framboids(rng: np.random.Generator, fabric: Fabric, pile: _Pile) -> None:
    """Clusters of bright pyrite crystals, one in some 150 square micrometres."""
    area_um2 = np.prod(fabric.size) / fabric.per_um**2
    for centre in fabric.scatter_points(int(rng.poisson(area_um2 / 150))):
        n = int(rng.integers(1, 40))
        spot = rng.normal(0, 0.045 * fabric.per_um * np.sqrt(n), (n, 2))
        ecd = fabric.per_um * rng.uniform(0.05, 0.25) * np.exp(rng.normal(0, 0.2, n))
        crystals = place(draw_grains(rng, ecd, 16, 1.4, 0.02), np.zeros(n), centre + spot)
        pile.add(crystals, PYRITE, rng.uniform(0, 0.1, n))


def _add_flats(
    rng: np.random.Generator, spec: PhantomSpec, fabric: Fabric, pile: _Pile, coverage: float
) -> None:
    """Platelets that lie flat and aggregates: broad, with rough outlines and a gap at one side."""
    median, spread = 0.35 * spec.plate_length_um * fabric.per_um, spec.plate_spread
    n = int(coverage * np.prod(fabric.size) / (np.pi / 4 * median**2 * np.exp(2 * spread**2)))
    ecd = np.clip(median * np.exp(rng.normal(0, spread, n)), 4, 1.9 * fabric.per_um)
    centre = fabric.scatter_points(n)
    outlines = place(draw_grains(rng, ecd, 44, 2.2, 0.09), np.zeros(n), centre)
    ranks = fabric.ranks(centre)
    outside = fabric.at(fabric.distance, centre) > 0
    pitted = np.flatnonzero(outside & (rng.uniform(size=n) < 0.15))
    pitted = np.repeat(pitted, rng.poisson((ecd[pitted] / (0.25 * fabric.per_um)) ** 2))
    spots = centre[pitted] + rng.normal(0, 0.22, (pitted.size, 2)) * ecd[pitted, None]
    sizes = 0.05 * fabric.per_um * np.exp(rng.normal(0, 0.5, pitted.size))
    pits = place(draw_grains(rng, sizes, 10, 3.0, 0.1), np.zeros(pitted.size), spots)
    pile.add(pits, HOLE, ranks[pitted] - 1e-9)
    pile.add(outlines[outside], FLAT, ranks[outside])
    gap = outside & (rng.uniform(size=n) < 0.4 * spec.slit_share)
    shift = rng.normal(0, 0.025 * fabric.per_um, (int(gap.sum()), 1, 2))
    pile.add(outlines[gap] + shift, HOLE, ranks[gap] + 1e-9)


def _add_laths(
    rng: np.random.Generator, spec: PhantomSpec, fabric: Fabric, pile: _Pile, coverage: float
) -> None:
    """Packets of platelets on edge, some with a slit along one side."""
    spread, per_um = spec.plate_spread, fabric.per_um
    length_px, thick_px = spec.plate_length_um * per_um, spec.plate_thickness_um * per_um
    n = int(coverage * np.prod(fabric.size) / (0.8 * length_px * thick_px * np.exp(spread**2)))
    packet = np.sort(rng.integers(0, max(n // 2, 1), n))
    place_in = np.arange(n) - np.searchsorted(packet, packet)
    thickness = thick_px * np.exp(rng.normal(0, spread, n)) * rng.choice([1, 0.35], n, p=[0.6, 0.4])
    thickness = np.clip(thickness, 2.5, None)
    length = length_px * np.exp(rng.normal(0, spread, n)) * np.sqrt(thickness / thick_px)
    length = np.clip(length, 2 * thickness, 7 * per_um)
    start = fabric.scatter_points(n)[packet]
    angle = fabric.directions(start)[packet] + rng.normal(0, 0.08, n)
    along = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    across = np.stack([-np.sin(angle), np.cos(angle)], axis=-1)
    step = place_in * thick_px * 1.4 * rng.uniform(0.7, 1.3, n)
    slide = (place_in > 0) * length * rng.uniform(-0.3, 0.3, n)
    centre = start + across * step[:, None] + along * slide[:, None]
    outlines = place(draw_laths(rng, length, thickness, 0.08), angle, centre)
    ranks = fabric.ranks(start)[packet] + rng.uniform(0, 0.05, n)
    outside = fabric.at(fabric.distance, centre) > 0
    pile.add(outlines[outside], LATH, ranks[outside])
    slit = outside & (rng.uniform(size=n) < spec.slit_share)
    gap = rng.gamma(2.0, 0.035 * per_um, n)
    aside = rng.choice([-0.48, 0.48], n) * thickness
    lens_at = centre + across * aside[:, None] + along * (rng.normal(0, 0.15, n) * length)[:, None]
    lenses = draw_laths(rng, length * rng.uniform(0.3, 0.8, n), gap, 0.07)
    pile.add(place(lenses, angle, lens_at)[slit], HOLE, ranks[slit] + 1e-9)
