"""How grains or pores lie to one another: nearest neighbours, Clark and Evans, Ripley's L.

Points are the centroids of instances, shape (N, 2), rows before columns, measured from the upper
left corner of the specimen in the unit of ``frame`` (height, width). Grains have a size and
cannot overlap, so even a random packing looks regular at distances below a grain diameter.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from mudrock_cli.measure.sizes import LEAST_PIXELS, effective_number

Floats = npt.NDArray[np.float64]

_EXACT = 1500
_GRID = 2048
_CHUNK = 2_000_000
_QUERIES = 1 << 16


@dataclass(frozen=True)
class ClarkEvans:
    """Clark and Evans' index of aggregation.

    Parameters
    ----------
    index : float
        Mean distance to the nearest neighbour over that of a random pattern: 1 = random, below =
        clustered, above = regular. NaN for fewer than two points.
    z : float
        Standard score of the mean distance under complete randomness.
    p : float
        Two-sided p value of `z`.
    """

    index: float
    z: float
    p: float


@dataclass(frozen=True)
class RipleyL:
    """Ripley's L function.

    Parameters
    ----------
    radii : ndarray of float64, shape (K,)
        Distances.
    k, l : ndarray of float64, shape (K,)
        K function, and ``L = sqrt(K / pi)``, which is the distance itself for a random pattern.
    critical : float
        A random pattern stays within ``L - r = ± critical`` at all distances nineteen times out
        of twenty.
    """

    radii: Floats
    k: Floats
    l: Floats  # noqa: E741
    critical: float


def nearest_distances(points: npt.ArrayLike) -> Floats:
    """Return the distance from each point to the nearest other point.

    Parameters
    ----------
    points : array_like, shape (N, 2)
        Positions.

    Returns
    -------
    ndarray of float64, shape (N,)
        NaN for a single point.
    """
    from scipy.spatial import cKDTree

    points = np.asarray(points, np.float64).reshape(-1, 2)
    if len(points) < 2:
        return np.full(len(points), np.nan)
    tree, distances = cKDTree(points), np.empty(len(points))
    for start in range(0, len(points), _QUERIES):
        part = slice(start, start + _QUERIES)
        distances[part] = tree.query(points[part], k=2)[0][:, 1]
    return distances


def clark_evans(points: npt.ArrayLike, frame: tuple[float, float]) -> ClarkEvans:
    """Return Clark and Evans' index with Donnelly's correction for the edge.

    Parameters
    ----------
    points : array_like, shape (N, 2)
        Positions inside the frame.
    frame : tuple of float
        Height and width, in the same unit.

    Notes
    -----
    Clark and Evans (1954), Ecology 35: 445-453; expectation and standard error of the mean
    distance in a rectangle after Donnelly (1978), as in
    ``spatstat::clarkevans(correction="Donnelly")``.
    """
    distances = nearest_distances(points)
    number = len(distances)
    if number < 2:
        return ClarkEvans(math.nan, math.nan, math.nan)
    area, perimeter = frame[0] * frame[1], 2 * (frame[0] + frame[1])
    edge = 0.0514 + 0.0412 / math.sqrt(number)
    expected = 0.5 * math.sqrt(area / number) + edge * perimeter / number
    error = math.sqrt(0.0703 * area / number**2 + 0.037 * perimeter * math.sqrt(area / number**5))
    mean = float(distances.mean())
    z = (mean - expected) / error
    return ClarkEvans(mean / expected, z, math.erfc(abs(z) / math.sqrt(2)))


def ripley_l(
    points: npt.ArrayLike, frame: tuple[float, float], radii: npt.ArrayLike | None = None
) -> RipleyL:
    """Return Ripley's L with the translation correction for a rectangle.

    Parameters
    ----------
    points : array_like, shape (N, 2)
        Positions inside the frame.
    frame : tuple of float
        Height and width, in the same unit.
    radii : array_like, shape (K,), optional
        Distances, rising; 64 steps to a quarter of the shorter side where None.

    Notes
    -----
    ``K(r) = A² / (n (n - 1)) sum 1(d_ij <= r) / ((H - |dy|) (W - |dx|))`` (Ohser 1983), as in
    ``spatstat::Kest(correction="translate")``. Above 1500 points these are first brought to a
    grid of 2048 cells along the longer side and all pairs are counted by one Fourier transform,
    exact for the moved points. ``critical`` is ``1.42 sqrt(A) / n`` (Ripley 1979).
    """
    points = np.asarray(points, np.float64).reshape(-1, 2)
    if radii is None:
        radii = np.linspace(0, min(frame) / 4, 65)[1:]
    radii = np.asarray(radii, np.float64)
    number, area = len(points), frame[0] * frame[1]
    if number < 2:
        empty = np.full(len(radii), np.nan)
        return RipleyL(radii, empty, empty.copy(), math.nan)
    count = _count_exact if number <= _EXACT else _count_gridded
    k = area**2 / (number * (number - 1)) * np.cumsum(count(points, frame, radii))
    return RipleyL(radii, k, np.sqrt(k / math.pi), 1.42 * math.sqrt(area) / number)


def _count_exact(points: Floats, frame: tuple[float, float], radii: Floats) -> Floats:
    """Sum the translation weights of ordered pairs by the first radius that covers them."""
    sums = np.zeros(len(radii) + 1)
    step = max(1, _CHUNK // len(points))
    for start in range(0, len(points), step):
        # Every pair once: a block of points against all that come later.
        dy = np.abs(points[start : start + step, None, 0] - points[None, start:, 0])
        dx = np.abs(points[start : start + step, None, 1] - points[None, start:, 1])
        distance = np.hypot(dy, dx)
        later = np.triu(distance <= radii[-1], 1)
        weight = 2 / ((frame[0] - dy[later]) * (frame[1] - dx[later]))
        place = np.searchsorted(radii, distance[later])
        sums += np.bincount(place, weight, minlength=len(sums))
    return sums[:-1]


def _count_gridded(points: Floats, frame: tuple[float, float], radii: Floats) -> Floats:
    """Do the same for many points, moved to the nodes of a fine grid."""
    from scipy.fft import irfft2, next_fast_len, rfft2

    cell = max(frame) / _GRID
    rows, columns = (math.ceil(side / cell) for side in frame)
    place = np.minimum((points / cell).astype(np.int64), (rows - 1, columns - 1))
    counts = np.bincount(place @ (columns, 1), minlength=rows * columns).astype(np.float32)
    reach = min(math.ceil(radii[-1] / cell), rows - 1, columns - 1)
    padded = next_fast_len(rows + reach), next_fast_len(columns + reach)
    power = np.abs(rfft2(counts.reshape(rows, columns), padded, workers=-1)) ** 2
    pairs = irfft2(power, padded, workers=-1)
    # Shifts down by 0 to reach, across by -reach to reach.
    pairs = np.concatenate([pairs[: reach + 1, -reach:], pairs[: reach + 1, : reach + 1]], axis=1)
    pairs = np.round(pairs).astype(np.float64)
    pairs[0, reach] -= len(points)  # a point is no pair with itself
    pairs[0] /= 2  # the shift (0, x) stands here with its mirror image, the others alone
    dy = cell * np.arange(reach + 1)[:, None]
    dx = cell * np.abs(np.arange(-reach, reach + 1))[None, :]
    weight = 2 * pairs / ((frame[0] - dy) * (frame[1] - dx))
    first = np.searchsorted(radii, np.hypot(dy, dx).ravel())
    sums = np.bincount(first, weight.ravel(), minlength=len(radii) + 1)[: len(radii)]
    return sums.astype(np.float64)


# The two-point correlation of a phase: how far a phase remembers itself.
#
# ``S2(r)`` is the chance that two points at distance r both lie in the phase. It starts at the
# phase's share of area, its slope at the start is the specific boundary, and it levels off at the
# share squared. A large mask is measured in tiles: add up the ``PairSums`` of the tiles, then
# divide.


@dataclass(frozen=True)
class PairSums:
    """Pairs of pixels by distance, to be added over tiles and images of one pixel size.

    Parameters
    ----------
    both : ndarray of float64, shape (K,)
        Pairs at 0, 1, ... K - 1 pixels with both ends in the phase.
    all_pairs : ndarray of float64, shape (K,)
        Pairs with both ends on specimen.
    """

    both: Floats
    all_pairs: Floats

    def __add__(self, other: Self) -> "PairSums":
        return PairSums(self.both + other.both, self.all_pairs + other.all_pairs)

    def correlate(self) -> Floats:
        """Return S2 at 0, 1, ... K - 1 pixels; NaN where no pair was seen."""
        result = np.full(len(self.both), np.nan)
        np.divide(self.both, self.all_pairs, out=result, where=self.all_pairs > 0)
        return result


def sum_pairs(
    phase: npt.NDArray[np.bool_], specimen: npt.NDArray[np.bool_], reach: int
) -> PairSums:
    """Count pairs of pixels by distance, in all directions.

    Parameters
    ----------
    phase : ndarray of bool, shape (H, W)
        Pixels of the phase.
    specimen : ndarray of bool, shape (H, W)
        Pixels that are not VOID.
    reach : int
        Largest distance in pixels; cut to what the array holds.

    Notes
    -----
    Autocorrelation of the phase over that of the specimen, by Fourier transform with padding, so
    that nothing wraps around and VOID counts for nothing; averaged over rings one pixel wide.
    Berryman and Blair (1986), J. Appl. Phys. 60: 1930-1938; Torquato (2002), Random Heterogeneous
    Materials, 2.2.
    """
    reach = min(reach, min(phase.shape) - 1)
    phase = phase & specimen
    if specimen.all():
        height, width = specimen.shape
        down, across = np.arange(reach + 1), np.abs(np.arange(-reach, reach + 1))
        pairs = (height - down)[:, None] * (width - across)[None, :].astype(np.float64)
    else:
        pairs = _autocorrelate(specimen, reach)
    return PairSums(_sum_rings(_autocorrelate(phase, reach)), _sum_rings(pairs))


def specific_boundary(correlation: npt.ArrayLike, pixel_um: float) -> float:
    """Return the boundary length per area, 1/µm, from the slope of S2 at the start.

    Parameters
    ----------
    correlation : array_like, shape (K,)
        S2 at 0, 1, ... pixels, K at least 2.
    pixel_um : float
        Side of a pixel, µm.

    Notes
    -----
    ``-pi S2'(0)`` in the plane (Debye, Anderson and Brumberger 1957; Torquato 2002, 2.2.5).
    """
    start = np.asarray(correlation, np.float64)
    return float(np.pi * (start[0] - start[1]) / pixel_um)


def _autocorrelate(indicator: npt.NDArray[np.bool_], reach: int) -> Floats:
    """Return pixel pairs for shifts down by 0 to reach and across by -reach to reach."""
    from scipy.fft import irfft2, next_fast_len, rfft2

    padded = tuple(next_fast_len(side + reach, real=True) for side in indicator.shape)
    spectrum = rfft2(indicator.astype(np.float32), padded, workers=-1)
    power = spectrum.real**2 + spectrum.imag**2
    del spectrum  # a window takes it all a second time
    pairs = irfft2(power, padded, workers=-1)
    shifts = np.arange(-reach, reach + 1)  # those to the left stand at the end
    found: Floats = pairs[: reach + 1, shifts].astype(np.float64)
    return found


def _sum_rings(pairs: Floats) -> Floats:
    """Add up shifts by their length, rounded to whole pixels."""
    reach = len(pairs) - 1
    down, across = np.arange(reach + 1)[:, None], np.arange(-reach, reach + 1)[None, :]
    # A shift along the row stands here with its mirror image, the others alone.
    pairs = pairs * np.where(down == 0, 0.5, 1.0)
    ring = np.rint(np.hypot(down, across)).astype(np.intp).ravel()
    return np.bincount(ring, pairs.ravel())[: reach + 1].astype(np.float64)


# Contacts between silt grains: whether they carry each other or float in the matrix.
#
# Grains that touch are one region of the mask, so they are first divided at their necks. Contiguity
# is then the share of grain boundary that is shared with another grain (Gurland 1958): 0 where all
# grains float in clay, near 1 in a grain-supported rock. A large mask is measured in tiles: add up
# the ``ContactSums``.

Ints = npt.NDArray[np.intp]
_Heights = npt.NDArray[np.float32]

NECK = 0.7
"""Two parts are two grains where the neck is narrower than this share of the smaller part."""


@dataclass(frozen=True)
class ContactSums:
    """Contacts between grains, to be added over tiles and images.

    Parameters
    ----------
    grains : int
        Grains after touching ones are divided.
    contacts : int
        Pairs of grains that touch.
    shared, free : int
        Steps from pixel to neighbouring pixel, along rows and columns, that go from one grain to
        another, and from a grain to what is no grain.
    """

    grains: int
    contacts: int
    shared: int
    free: int

    def __add__(self, other: "ContactSums") -> "ContactSums":
        return ContactSums(
            self.grains + other.grains,
            self.contacts + other.contacts,
            self.shared + other.shared,
            self.free + other.free,
        )

    @property
    def contiguity(self) -> float:
        """Share of grain boundary that is a contact with another grain, 0 to 1; NaN for no grain.

        Notes
        -----
        ``2 N_gg / (2 N_gg + N_gm)`` of crossings along lines; Gurland (1958), Trans. AIME 212:
        452-455.
        """
        total = 2 * self.shared + self.free
        return 2 * self.shared / total if total else math.nan

    @property
    def contacts_per_grain(self) -> float:
        """Mean number of grains that a grain touches in the section; NaN for no grain."""
        return 2 * self.contacts / self.grains if self.grains else math.nan


def sum_contacts(
    silt: npt.NDArray[np.bool_], specimen: npt.NDArray[np.bool_] | None = None
) -> ContactSums:
    """Divide touching grains and count their contacts.

    Parameters
    ----------
    silt : ndarray of bool, shape (H, W)
        Pixels of silt.
    specimen : ndarray of bool, shape (H, W), optional
        Pixels that are not VOID; a step from silt to VOID is no boundary.

    Notes
    -----
    Every silt pixel climbs the distance to the boundary to a summit (a watershed); summits are
    joined from the highest saddle down while the saddle is at least ``NECK`` of the lower summit.
    """
    grain = divide_grains(silt)
    other = ~silt if specimen is None else ~silt & specimen
    pairs, free = [], 0
    for near, far in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        free += int(np.count_nonzero(silt[near] & other[far]))
        free += int(np.count_nonzero(silt[far] & other[near]))
        first, second = grain[near], grain[far]
        meet = (first != second) & (first >= 0) & (second >= 0)
        pairs.append(np.sort(np.stack([first[meet], second[meet]]), axis=0))
    touching = np.concatenate(pairs, axis=1)
    return ContactSums(
        grains=int(grain.max(initial=-1)) + 1,
        contacts=np.unique(touching, axis=1).shape[1],
        shared=touching.shape[1],
        free=free,
    )


def divide_grains(silt: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """Give each grain of a mask a number, touching ones divided at their necks.

    Parameters
    ----------
    silt : ndarray of bool, shape (H, W)
        Pixels of silt.

    Returns
    -------
    ndarray of int32, shape (H, W)
        Grains from 0; -1 elsewhere.
    """
    import cv2

    if not silt.any():
        return np.full(silt.shape, -1, np.int32)
    # A dark rim: grains at the edge of the array climb like the others, and no neighbour is out
    # of bounds.
    framed = np.pad(silt, 1).astype(np.uint8)
    height = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_5)
    pixels = np.flatnonzero(framed)
    width = framed.shape[1]
    summits, basin = np.unique(_climb(height.ravel(), pixels, width), return_inverse=True)
    number = np.full(framed.size, -1, np.int32)
    number[pixels] = basin
    saddles = _find_saddles(number, height.ravel(), pixels, width)
    _, grain = np.unique(_join(height.ravel()[summits], *saddles), return_inverse=True)
    number[pixels] = grain[basin]
    return number.reshape(framed.shape)[1:-1, 1:-1]


def _climb(height: _Heights, pixels: Ints, width: int) -> Ints:
    """Return the summit that each pixel reaches by the steepest way up."""
    best, target = height[pixels], pixels.copy()
    for step in (-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1):
        neighbour = height[pixels + step]
        # On a level, to the smaller index: a plateau has one summit and no circle.
        higher = (neighbour > best) | ((neighbour == best) & (pixels + step < target))
        best, target = np.where(higher, neighbour, best), np.where(higher, pixels + step, target)
    goal = np.zeros(len(height), np.intp)
    goal[pixels] = target
    while not np.array_equal(goal[target], target):
        target = goal[target]
        goal[pixels] = target
    return target


def _join(peaks: _Heights, first: Ints, second: Ints, saddles: _Heights) -> Ints:
    """Return the summit that each summit is joined to, from the highest saddle down."""
    parent = list(range(len(peaks)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for one, two, saddle in zip(first, second, saddles, strict=True):
        low, high = root(int(one)), root(int(two))
        if peaks[low] > peaks[high]:
            low, high = high, low
        if low != high and saddle >= NECK * peaks[low]:
            parent[low] = high
    return np.array([root(node) for node in range(len(parent))])


def _find_saddles(
    number: npt.NDArray[np.int32], height: _Heights, pixels: Ints, width: int
) -> tuple[Ints, Ints, _Heights]:
    """Return neighbouring basins and the highest pass between them, the highest pass first."""
    keys, passes, basins = [], [], int(number.max()) + 1
    own = number[pixels]
    for step in (1, width - 1, width, width + 1):
        other = number[pixels + step]
        meet = np.flatnonzero((other >= 0) & (other != own))
        low, high = np.minimum(own[meet], other[meet]), np.maximum(own[meet], other[meet])
        keys.append(low.astype(np.intp) * basins + high)
        passes.append(np.minimum(height[pixels[meet]], height[pixels[meet] + step]))
    key, saddle = np.concatenate(keys), np.concatenate(passes)
    order = np.lexsort((-saddle, key))
    pair, start = np.unique(key[order], return_index=True)
    saddle = saddle[order][start]
    falling = np.argsort(-saddle, kind="stable")
    return pair[falling] // basins, pair[falling] % basins, saddle[falling]


# The direction of long axes: axial mean, Rayleigh test, rose.
#
# A long axis has no head or tail, so angles are doubled before they are averaged (Mardia and Jupp
# 2000). Angles are in radians, as ``skimage.measure.regionprops`` gives them or any other way: what
# comes back is on the same scale, within half a turn. Round objects have no direction, and those of
# a few pixels lie along rows, columns and diagonals only: give those that `have_direction`.

ELONGATED = 1.2
"""Least aspect ratio of an object that has a direction."""


@dataclass(frozen=True)
class AxialMean:
    """Mean direction of axes, and whether there is one.

    Parameters
    ----------
    angle : float
        Mean axis, radians, from -pi/2 up to pi/2; NaN for no axis.
    strength : float
        Mean resultant length of the doubled angles: 0 = no direction, 1 = all parallel.
    number : float
        Effective number of axes (Kish).
    p : float
        p value of the Rayleigh test against axes in all directions alike.
    """

    angle: float
    strength: float
    number: float
    p: float


def have_direction(
    axis: npt.ArrayLike, aspect: npt.ArrayLike, pixels: npt.ArrayLike
) -> npt.NDArray[np.bool_]:
    """Tell which objects have a direction: the long ones that are resolved.

    Parameters
    ----------
    axis : array_like, shape (N,)
        Long axes; NaN for a circle.
    aspect : array_like, shape (N,)
        Aspect ratios; NaN for a line of pixels, which has no short axis but a direction.
    pixels : array_like, shape (N,)
        Areas in pixels.

    Returns
    -------
    ndarray of bool, shape (N,)
    """
    round_ones = np.asarray(aspect, np.float64) < ELONGATED
    resolved = np.asarray(pixels) >= LEAST_PIXELS
    return ~np.isnan(np.asarray(axis, np.float64)) & ~round_ones & resolved


def axial_mean(angles: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> AxialMean:
    """Return the mean axis and the Rayleigh test.

    Parameters
    ----------
    angles : array_like, shape (N,)
        Axes in radians; an angle and its opposite are the same.
    weights : array_like, shape (N,), optional
        Ones where None; areas for a mean by area.

    Notes
    -----
    Mardia and Jupp (2000), Directional Statistics, 9.4 (doubling). With weights the test takes
    Kish's effective number for the number of axes.
    """
    doubled = 2 * np.asarray(angles, np.float64)
    weight = np.ones_like(doubled) if weights is None else np.asarray(weights, np.float64)
    total = float(weight.sum())
    if not total > 0:
        return AxialMean(math.nan, math.nan, 0.0, math.nan)
    resultant = complex(np.sum(weight * np.exp(1j * doubled)) / total)
    strength, number = min(abs(resultant), 1.0), effective_number(weight)
    angle = math.atan2(resultant.imag, resultant.real) / 2
    return AxialMean(_wrap(angle), strength, number, rayleigh_p(strength, number))


def rayleigh_p(strength: float, number: float) -> float:
    """Return the p value of the Rayleigh test of uniform directions.

    Parameters
    ----------
    strength : float
        Mean resultant length, 0 to 1.
    number : float
        Number of directions.

    Notes
    -----
    Mardia and Jupp (2000), 6.3.2: ``exp(-z)`` with ``z = n R²``, and its correction below 50
    directions, as in ``astropy.stats.rayleightest``.
    """
    z = number * strength**2
    correction = 1.0
    if number < 50:
        first = (2 * z - z**2) / (4 * number)
        second = (24 * z - 132 * z**2 + 76 * z**3 - 9 * z**4) / (288 * number**2)
        correction = 1 + first - second
    return min(max(math.exp(-z) * correction, 0.0), 1.0)


def rose(
    angles: npt.ArrayLike, weights: npt.ArrayLike | None = None, sectors: int = 18
) -> tuple[Floats, Floats]:
    """Return the share of axes in each sector of half a turn.

    Parameters
    ----------
    angles : array_like, shape (N,)
        Axes in radians.
    weights : array_like, shape (N,), optional
        Ones where None; areas for a rose by area.
    sectors : int
        How many sectors half a turn has.

    Returns
    -------
    edges : ndarray of float64, shape (sectors + 1,)
        Limits of the sectors, from -pi/2 to pi/2.
    shares : ndarray of float64, shape (sectors,)
        They sum to 1; all 0 where there is no axis.
    """
    axes = np.mod(np.asarray(angles, np.float64) + np.pi / 2, np.pi)
    weight = np.ones_like(axes) if weights is None else np.asarray(weights, np.float64)
    sector = np.minimum((axes * sectors / np.pi).astype(np.intp), sectors - 1)
    sums = np.bincount(sector, weight, minlength=sectors)
    edges = np.linspace(-np.pi / 2, np.pi / 2, sectors + 1)
    return edges, sums / (sums.sum() or 1.0)


def _wrap(angle: float) -> float:
    """Bring an axis to -pi/2 <= angle < pi/2."""
    return (angle + math.pi / 2) % math.pi - math.pi / 2
