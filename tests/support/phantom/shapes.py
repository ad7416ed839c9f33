"""What a synthetic mudrock is like: the few numbers that a phantom is drawn from."""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.errors import MudrockError


@dataclass(frozen=True)
class PhantomSpec:
    """Rock and microscope of a phantom; lengths in micrometres, greys in levels of 255.

    The defaults resemble an ion-milled mudstone of the Kumano basin at 10 nm per pixel.

    Parameters
    ----------
    silt_fraction, porosity : float
        Targets as shares of the area; what came out exactly is in ``Phantom.facts``.
    silt_ecd_um, silt_spread : float
        Median equivalent-circle diameter of silt grains, and the deviation of its logarithm.
    plate_length_um, plate_thickness_um, plate_spread : float
        Medians of clay platelets cut edge-on, and the deviation of their logarithms.
    flat_share : float
        Share of the clay area in platelets that lie flat and in clay aggregates.
    fabric, bedding_degrees : float
        0 for random platelets to 1 for strictly parallel ones, and the direction of bedding.
    slit_share : float
        Share of platelets with a slit-like pore along one side.
    patchiness : float
        How much porosity varies from place to place, 0 for not at all.
    contrast : float
        Grey difference between the polished surface and the deepest pore.
    edge, relief, noise, texture : float
        Amplitudes of bright pore edges, steps between particles, shot noise, surface texture.
    blur_px : float
        Standard deviation of the beam, in pixels.
    curtaining, charging, shading, tile_steps : float
        Amplitudes of milling streaks, horizontal charging tails, uneven illumination and brightness
        steps between the tiles of a mosaic.
    brightness, silt_grey : float
        Mean grey of the polished clay, and how much brighter silt is.
    jpeg_quality : int
        Quality of a lossy compression that the picture went through, 0 for none.

    Raises
    ------
    MudrockError
        If a share is none.
    """

    silt_fraction: float = 0.15
    porosity: float = 0.10
    silt_ecd_um: float = 3.6
    silt_spread: float = 0.45
    plate_length_um: float = 1.1
    plate_thickness_um: float = 0.13
    plate_spread: float = 0.6
    flat_share: float = 0.25
    fabric: float = 0.7
    bedding_degrees: float = 10.0
    slit_share: float = 0.4
    patchiness: float = 0.5
    contrast: float = 100.0
    edge: float = 60.0
    relief: float = 12.0
    noise: float = 4.5
    texture: float = 4.0
    blur_px: float = 0.95
    curtaining: float = 4.0
    charging: float = 2.0
    shading: float = 6.0
    tile_steps: float = 0.0
    brightness: float = 150.0
    silt_grey: float = -12.0
    jpeg_quality: int = 0

    def __post_init__(self) -> None:
        for name in ("silt_fraction", "porosity", "flat_share", "fabric", "slit_share"):
            share = getattr(self, name)
            if not 0 <= share <= 1 or (name == "silt_fraction" and share > 0.95):
                raise MudrockError(f"a phantom cannot have {name} {share}", "take 0 to 0.95")


def random_spec(rng: np.random.Generator) -> PhantomSpec:
    """Draw a rock and a microscope at random, wider than any one sample is.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness; the same state gives the same spec.

    Returns
    -------
    PhantomSpec
    """

    def uniform(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    rock = PhantomSpec(
        silt_fraction=uniform(0.05, 0.40),
        porosity=uniform(0.04, 0.16),
        silt_ecd_um=uniform(2.6, 5.0),
        silt_spread=uniform(0.25, 0.6),
        plate_length_um=uniform(0.6, 1.6),
        plate_thickness_um=uniform(0.10, 0.24),
        plate_spread=uniform(0.45, 0.75),
        flat_share=uniform(0.2, 0.75),
        fabric=uniform(0.1, 0.9),
        bedding_degrees=uniform(0.0, 180.0),
        slit_share=uniform(0.05, 0.45),
        patchiness=uniform(0.0, 1.0),
    )
    return replace(
        rock,
        contrast=uniform(70.0, 125.0),
        edge=uniform(25.0, 90.0),
        relief=uniform(4.0, 20.0),
        noise=uniform(2.0, 9.0),
        texture=uniform(1.0, 8.0),
        blur_px=uniform(0.4, 1.8),
        curtaining=float(rng.gamma(0.8, 5.0)),
        charging=float(rng.gamma(0.8, 3.0)),
        shading=uniform(0.0, 12.0),
        tile_steps=float(rng.choice([0.0, 6.0, 12.0])),
        brightness=uniform(105.0, 170.0),
        silt_grey=uniform(-28.0, 3.0),
        jpeg_quality=int(rng.choice([0, 60, 75, 90])),
    )


# Outlines of particles as polygons, many at a time.
#
# Every function returns vertices of shape (n, vertices, 2), (x, y) in pixels, around the origin.

Floats = npt.NDArray[np.float64]


def place(outlines: Floats, angle: Floats, centre: Floats) -> Floats:
    """Turn outlines by `angle` (n,), in radians, and move them to `centre` (n, 2)."""
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x, y = outlines[..., 0], outlines[..., 1]
    turned = np.stack([c * x - s * y, s * x + c * y], axis=-1)
    return np.asarray(turned + centre[:, None, :])


def areas(outlines: Floats) -> Floats:
    """Area of every polygon (n,), by the shoelace formula."""
    x, y = outlines[..., 0], outlines[..., 1]
    doubled = x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1)
    return np.asarray(np.abs(doubled.sum(axis=1)) / 2)


def roughness(rng: np.random.Generator, n: int, points: int, slope: float) -> Floats:
    """Draw closed random curves (n, points) of unit variance with a spectrum k**-slope.

    The first two harmonics are left out: they would move and stretch the particle.
    """
    if n == 0:
        return np.zeros((0, points))
    k = np.arange(points // 2 + 1)
    amplitude = np.where(k > 2, np.maximum(k, 1.0) ** -slope, 0.0)
    phases = rng.uniform(0, 2 * np.pi, (n, k.size))
    curve = np.fft.irfft(amplitude * np.exp(1j * phases), points, axis=1)
    return np.asarray(curve / max(float(np.sqrt((curve**2).mean())), 1e-12))


def draw_grains(
    rng: np.random.Generator, ecd: Floats, points: int, aspect: float, rough: float
) -> Floats:
    """Angular to rounded grains: the rounded intersection of random half-planes.

    In polar form ``r = (sum_k max(cos(t - t_k), 0) ** p / d_k ** p) ** (-1 / p)`` for planes at
    distance ``d_k``; a large ``p`` keeps the corners, a small one rounds them.

    Parameters
    ----------
    ecd : ndarray, shape (n,)
        Equivalent-circle diameters, pixels; met exactly.
    points : int
        Vertices of each outline.
    aspect : float
        Largest ratio of length to breadth.
    rough : float
        Roughness of the outline relative to the radius.
    """
    n, planes = ecd.size, 9
    theta = np.linspace(0, 2 * np.pi, points, endpoint=False)
    normals = (np.arange(planes) + rng.uniform(-0.42, 0.42, (n, planes))) * (2 * np.pi / planes)
    distance = rng.uniform(0.6, 1.15, (n, planes))
    power = np.exp(rng.uniform(np.log(4), np.log(40), (n, 1, 1)))
    facing = np.maximum(np.cos(theta[None, :, None] - normals[:, None, :]), 0)
    radius = ((facing / distance[:, None, :]) ** power).sum(axis=2) ** (-1 / power[..., 0])
    radius *= 1 + rough * roughness(rng, n, points, 1.1)
    outlines = np.stack([radius * np.cos(theta), radius * np.sin(theta)], axis=-1)
    outlines[..., 0] *= rng.uniform(1, aspect, (n, 1))
    outlines = place(outlines, rng.uniform(0, np.pi, n), np.zeros((n, 2)))
    scale = np.sqrt(np.pi * ecd**2 / 4 / areas(outlines))
    return np.asarray(outlines * scale[:, None, None])


def draw_laths(
    rng: np.random.Generator, length: Floats, thickness: Floats, ragged: float
) -> Floats:
    """Platelets cut edge-on: bent, tapering strips with ragged ends, 40 vertices each.

    Parameters
    ----------
    length, thickness : ndarray, shape (n,)
        In pixels.
    ragged : float
        Roughness of the long sides relative to the thickness.
    """
    n, side = length.size, 20
    s = np.linspace(-1, 1, side)[None, :]
    blunt = np.exp(rng.uniform(np.log(1.6), np.log(14), (n, 1)))
    half = thickness[:, None] / 2 * (1 - np.abs(s) ** blunt) ** 0.6
    half = half * (1 + rng.uniform(-0.45, 0.45, (n, 1)) * s)
    bend = rng.standard_t(3, (n, 1)) * 0.035 * length[:, None] * (s**2 - 1 / 3)
    bend += rng.normal(0, 0.02, (n, 1)) * length[:, None] * (s**3 - 0.6 * s)
    skew = rng.uniform(-1.2, 1.2, (n, 1)) * half
    x = s * length[:, None] / 2
    noise = rng.normal(0, ragged, (2, n, side)) * thickness[:, None]
    upper = np.stack([x + skew, bend + half + noise[0]], axis=-1)
    lower = np.stack([x - skew, bend - half + noise[1]], axis=-1)
    return np.concatenate([upper, lower[:, ::-1]], axis=1)


# Coarse fields that steer the platelets of a mud: how they lie, how loosely, where silt is.

_CELL = 8  # pixels


class Fabric:
    """Direction and looseness of a mud on a coarse grid that reaches beyond the window.

    Platelets follow a wavy bedding and bend around silt grains.

    Parameters
    ----------
    rng : numpy.random.Generator
    spec : PhantomSpec
    shape : tuple of int
        Height and width of the window, pixels.
    per_um : float
        Pixels in a micrometre.
    silt : ndarray, shape (n, vertices, 2)
        Outlines of silt grains, (x, y) in pixels.
    """

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
        cells = (self.size[0] // _CELL + 1, self.size[1] // _CELL + 1)
        outside = np.ones(cells, np.uint8)
        for outline in silt:
            cv2.fillPoly(outside, [np.rint((outline + self.margin) / _CELL).astype(np.int32)], 0)
        reach = cv2.distanceTransform(outside, cv2.DIST_L2, 3)
        self.distance = np.minimum(reach, max(cells)) * _CELL  # without silt it is infinite
        wavy = smooth_noise(rng, cells, 1.5 * per_um / _CELL) * 0.5 * (1.3 - spec.fabric)
        bedding = np.deg2rad(spec.bedding_degrees) + wavy
        smooth = cv2.GaussianBlur(self.distance, (0, 0), 4)
        along = np.arctan2(cv2.Sobel(smooth, -1, 0, 1), cv2.Sobel(smooth, -1, 1, 0)) + np.pi / 2
        near = 0.9 * np.exp(-self.distance / (0.5 * per_um)) * (outside > 0)
        # directions are axes, not arrows: blend them as doubled angles
        blended = (1 - near) * np.exp(2j * bedding) + near * np.exp(2j * along)
        self.direction = np.angle(blended) / 2
        self.scatter = (1 - spec.fabric) * (1 - 0.8 * near) + 0.05
        self.looseness = spec.patchiness * smooth_noise(rng, cells, 1.2 * per_um / _CELL)

    def scatter_points(self, n: int) -> Floats:
        """Uniform places (n, 2) in the window and its margin."""
        height, width = self.size
        return np.asarray(self.rng.uniform(0, 1, (n, 2)) * (width, height) - self.margin)

    def at(self, field: npt.NDArray[np.floating], centre: Floats) -> Floats:
        """Values (n,) of a coarse field at places (n, 2)."""
        cell = ((centre + self.margin) / _CELL).astype(int)
        rows = np.clip(cell[:, 1], 0, field.shape[0] - 1)
        return np.asarray(field[rows, np.clip(cell[:, 0], 0, field.shape[1] - 1)])

    def directions(self, centre: Floats) -> Floats:
        """Direction of a platelet at each place (n,), radians, scattered by the fabric."""
        mean, scatter = self.at(self.direction, centre), self.at(self.scatter, centre)
        return np.asarray(mean + scatter * self.rng.standard_normal(len(centre)))

    def ranks(self, centre: Floats) -> Floats:
        """Ranks (n,) from 0: late where the mud is loose, so that gaps stay there."""
        late = np.exp(self.at(self.looseness, centre))
        return np.asarray(self.rng.uniform(0, 1, len(centre)) * late)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Floats:
    """Gaussian-like field (H, W) of about unit variance that varies over `scale` pixels."""
    cells = (int(shape[0] / scale) + 3, int(shape[1] / scale) + 3)
    coarse = rng.standard_normal(cells)
    size = (int(cells[1] * scale) + 1, int(cells[0] * scale) + 1)
    field = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    top, left = (int(rng.integers(0, max(int(scale), 1))) for _ in range(2))
    return np.asarray(field[top : top + shape[0], left : left + shape[1]] / 0.75)


# The particles of a mud: sizes, places, directions and the order in which they lie.

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
