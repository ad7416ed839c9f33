"""How phases lie in a field: spacing of centroids, two-point correlation, contacts, directions.

Points are the centroids of instances, shape (N, 2), rows before columns, measured from the upper
left corner of the `Window` and in its unit. Grains have a size and cannot overlap, so even a
random packing looks regular at distances below a grain diameter.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Phase
from mudrock_cli.measure.components import MOST_PARTS, Labelling
from mudrock_cli.measure.shapes import Bools, Floats, Ints
from mudrock_cli.measure.sizes import LEAST_PIXELS, effective_number
from mudrock_cli.measure.window import Window

LEAST_POINTS = 8
"""Fewer points than this give no p value of Clark and Evans' test (Donnelly 1978)."""

ELONGATED = 1.2
"""Least aspect ratio of an object that has a direction."""

NECK = 0.7
"""Two parts are two grains where the neck is narrower than this share of the smaller part."""

_CONVEX = 0.75
"""A hole inside a grain fills at least this share of its convex hull."""

_SPECK = 12
"""Holes of fewer pixels have no shape."""

_THIN = 2.0
"""Parts of silt thinner than twice so many pixels are no grains of their own."""

_EXACT = 1500
_GRID = 2048
_CHUNK = 2_000_000
_QUERIES = 1 << 16
_DRAWS = 2000


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
        Two-sided p value of `z`; NaN for fewer than ``LEAST_POINTS`` points.
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
    """Return the distance from each point, shape (N, 2), to the nearest other; NaN for one alone.

    Returns
    -------
    ndarray of float64, shape (N,)
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


def clark_evans(points: npt.ArrayLike, window: Window) -> ClarkEvans:
    """Return Clark and Evans' index with Donnelly's correction for the edge.

    Parameters
    ----------
    points : array_like, shape (N, 2)
        Positions in the window.
    window : Window
        Where points could lie.

    Notes
    -----
    Clark and Evans (1954), Ecology 35: 445-453; expectation and standard error of the mean
    distance after Donnelly (1978), as in ``spatstat::clarkevans(correction="Donnelly")``. In a
    window that is no rectangle its edge is measured at the distance of neighbours.
    """
    distances = nearest_distances(points)
    number = len(distances)
    if number < 2:
        return ClarkEvans(math.nan, math.nan, math.nan)
    area = window.area
    apart = 0.5 * math.sqrt(area / number)
    perimeter = window.perimeter(apart)
    expected = apart + (0.0514 + 0.0412 / math.sqrt(number)) * perimeter / number
    error = math.sqrt(0.0703 * area / number**2 + 0.037 * perimeter * math.sqrt(area / number**5))
    mean = float(distances.mean())
    z = (mean - expected) / error
    p = math.erfc(abs(z) / math.sqrt(2)) if number >= LEAST_POINTS else math.nan
    return ClarkEvans(mean / expected, z, p)


def ripley_l(points: npt.ArrayLike, window: Window, radii: npt.ArrayLike | None = None) -> RipleyL:
    """Return Ripley's L with the translation correction.

    Parameters
    ----------
    points : array_like, shape (N, 2)
        Positions in the window.
    window : Window
        Where points could lie.
    radii : array_like, shape (K,), optional
        Distances, rising; 64 steps to a quarter of the window's shorter side where None, which is
        as far as the critical value holds.

    Notes
    -----
    ``K(r) = A² / (n (n - 1)) sum 1(d_ij <= r) / c(x_i - x_j)`` with the set covariance c of the
    window (Ohser 1983), as in ``spatstat::Kest(correction="translate")``. Above 1500 points these
    are first brought to a grid of 2048 cells along the longer side and all pairs are counted by
    one Fourier transform, exact for the moved points.

    The critical value is that of the largest deviation at any distance: K is a U-statistic, whose
    covariance for random points follows from its kernel (Hoeffding 1948), and the 95 % quantile
    of the maximum of a Gaussian process with that covariance is drawn; never below ``1.48 sqrt(A)
    / n``, to which few pairs at short distances lead (Ripley 1979, by simulation: 1.42).
    """
    points = np.asarray(points, np.float64).reshape(-1, 2)
    if radii is None:
        radii = np.linspace(0, window.shorter_side / 4, 65)[1:]
    radii = np.asarray(radii, np.float64)
    number, area = len(points), window.area
    if number < 2:
        empty = np.full(len(radii), np.nan)
        return RipleyL(radii, empty, empty.copy(), math.nan)
    count = _count_exact if number <= _EXACT else _count_gridded
    k = area**2 / (number * (number - 1)) * np.cumsum(count(points, window, radii))
    return RipleyL(radii, k, np.sqrt(k / math.pi), _critical(number, window))


def _critical(number: int, window: Window) -> float:
    """Return what the largest deviation of L stays under in 95 % of random patterns."""
    varied = window.k_variation
    radii, disc = varied.radii, np.pi * varied.radii**2
    both = np.outer(disc, disc)
    nearer = np.minimum.outer(np.arange(len(radii)), np.arange(len(radii)))
    pairs = varied.pairs[nearer] - both
    covariance = 2 / (number * (number - 1)) * (2 * (number - 2) * varied.edge * both + pairs)
    values, vectors = np.linalg.eigh(covariance / (4 * np.pi**2 * np.outer(radii, radii)))
    draws = np.random.default_rng(0).standard_normal((_DRAWS, len(radii)))
    paths = (draws * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    largest = float(np.quantile(np.abs(paths).max(axis=1), 0.95))
    return max(largest, 1.48 * math.sqrt(window.area) / number)


def _count_exact(points: Floats, window: Window, radii: Floats) -> Floats:
    """Sum the translation weights of ordered pairs by the first radius that covers them."""
    sums = np.zeros(len(radii) + 1)
    points = points[np.argsort(points[:, 0], kind="stable")]  # shifts are downwards then
    step = max(1, _CHUNK // len(points))
    for start in range(0, len(points), step):
        # Every pair once: a block of points against all that come later.
        dy = points[None, start:, 0] - points[start : start + step, None, 0]
        dx = points[None, start:, 1] - points[start : start + step, None, 1]
        distance = np.hypot(dy, dx)
        later = np.triu(distance <= radii[-1], 1)
        weight = 2 / window.covariance(dy[later], dx[later])
        place = np.searchsorted(radii, distance[later])
        sums += np.bincount(place, weight, minlength=len(sums))
    return sums[:-1]


def _count_gridded(points: Floats, window: Window, radii: Floats) -> Floats:
    """Do the same for many points, moved to the nodes of a fine grid."""
    from scipy.fft import irfft2, next_fast_len, rfft2

    cell = max(window.height, window.width) / _GRID
    rows, columns = (math.ceil(side / cell) for side in (window.height, window.width))
    place = np.clip((points / cell).astype(np.int64), 0, (rows - 1, columns - 1))
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
    dx = cell * np.arange(-reach, reach + 1)[None, :]
    weight = 2 * pairs / window.covariance(dy, dx)
    first = np.searchsorted(radii, np.hypot(dy, dx).ravel())
    sums = np.bincount(first, weight.ravel(), minlength=len(radii) + 1)[: len(radii)]
    return sums.astype(np.float64)


@dataclass(frozen=True)
class PairSums:
    """Pairs of pixels by distance, to be added over tiles and images of one pixel size.

    Parameters
    ----------
    both : ndarray of float64, shape (K,)
        Pairs at about 0, 1, ... K - 1 pixels with both ends in the phase.
    all_pairs : ndarray of float64, shape (K,)
        Pairs with both ends on specimen.
    lengths : ndarray of float64, shape (K,)
        Sum of the distances of these, pixels.
    crossings, steps : ndarray of float64, shape (4,)
        Steps between neighbouring pixels along rows, columns and both diagonals that go into the
        phase or out of it, and all steps on specimen.
    """

    both: Floats
    all_pairs: Floats
    lengths: Floats
    crossings: Floats
    steps: Floats

    def __add__(self, other: Self) -> "PairSums":
        return PairSums(
            self.both + other.both,
            self.all_pairs + other.all_pairs,
            self.lengths + other.lengths,
            self.crossings + other.crossings,
            self.steps + other.steps,
        )

    def correlate(self) -> Floats:
        """Return the two-point correlation S2 at `lags`; NaN where no pair was seen.

        Notes
        -----
        The chance that two points at a distance both lie in the phase. It starts at the phase's
        share of area and levels off at the share squared. Torquato (2002), Random Heterogeneous
        Materials, 2.2.
        """
        return _divide(self.both, self.all_pairs)

    def lags(self) -> Floats:
        """Return the mean distance of the pairs, pixels, shape (K,); NaN where none was seen."""
        return _divide(self.lengths, self.all_pairs)

    def boundary(self) -> float:
        """Return the boundary length per area, 1/pixel; NaN where there are no steps.

        Notes
        -----
        ``pi / 2`` times the crossings per length, averaged over four directions (Cauchy and
        Crofton; Legland, Kiêu and Devaux 2007), as the perimeters of objects.
        """
        length = self.steps * np.array([1, 1, math.sqrt(2), math.sqrt(2)])
        seen = length > 0
        return (
            float(np.pi / 2 * (self.crossings[seen] / length[seen]).mean())
            if seen.any()
            else (math.nan)
        )


def _divide(above: Floats, below: Floats) -> Floats:
    ratio: Floats = np.full(len(above), np.nan)
    return np.divide(above, below, out=ratio, where=below > 0)


def sum_pairs(phase: Bools, specimen: Bools, reach: int) -> PairSums:
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
    Berryman and Blair (1986), J. Appl. Phys. 60: 1930-1938.
    """
    reach = min(reach, min(phase.shape) - 1)
    phase = phase & specimen
    height, width = specimen.shape
    down, across = np.arange(reach + 1)[:, None], np.arange(-reach, reach + 1)[None, :]
    whole = bool(specimen.all())
    pairs = (
        (height - down) * (width - np.abs(across)).astype(np.float64)
        if whole
        else _autocorrelate(specimen, reach)
    )
    distance = np.hypot(down, across)
    ring = np.rint(distance).astype(np.intp).ravel()

    def sum_rings(values: Floats) -> Floats:
        # A shift along the row stands here with its mirror image, the others alone.
        halved = values * np.where(down == 0, 0.5, 1.0)
        return np.bincount(ring, halved.ravel())[: reach + 1].astype(np.float64)

    crossings, steps = [], []
    for near, far in _NEIGHBOURS:
        crossed = phase[near] ^ phase[far]
        if not whole:
            inside = specimen[near] & specimen[far]
            crossed &= inside
        crossings.append(np.count_nonzero(crossed))
        steps.append(crossed.size if whole else np.count_nonzero(inside))
    return PairSums(
        sum_rings(_autocorrelate(phase, reach)),
        sum_rings(pairs),
        sum_rings(pairs * distance),
        np.array(crossings, np.float64),
        np.array(steps, np.float64),
    )


_NEIGHBOURS = (
    (np.s_[:, :-1], np.s_[:, 1:]),
    (np.s_[:-1], np.s_[1:]),
    (np.s_[:-1, :-1], np.s_[1:, 1:]),
    (np.s_[:-1, 1:], np.s_[1:, :-1]),
)
"""Pixels and their neighbours along rows, columns and both diagonals."""


def _autocorrelate(indicator: Bools, reach: int) -> Floats:
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


@dataclass(frozen=True)
class ContactSums:
    """Contacts between silt grains, to be added over tiles and images.

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
        452-455. 0 where all grains float in clay, near 1 in a grain-supported rock.
        """
        total = 2 * self.shared + self.free
        return 2 * self.shared / total if total else math.nan

    @property
    def contacts_per_grain(self) -> float:
        """Mean number of grains that a grain touches in the section; NaN for no grain."""
        return 2 * self.contacts / self.grains if self.grains else math.nan


def sum_contacts(silt: Bools, specimen: Bools | None = None) -> ContactSums:
    """Divide touching grains and count their contacts.

    Parameters
    ----------
    silt : ndarray of bool, shape (H, W)
        Pixels of silt.
    specimen : ndarray of bool, shape (H, W), optional
        Pixels that are not VOID; a step from silt to VOID is no boundary.
    """
    grain = divide_grains(silt)
    other = grain == 0
    if specimen is not None:
        other &= specimen
    pairs, free = [], 0
    for near, far in _NEIGHBOURS[:2]:
        free += int(np.count_nonzero((grain[near] > 0) & other[far]))
        free += int(np.count_nonzero((grain[far] > 0) & other[near]))
        first, second = grain[near], grain[far]
        meet = (first != second) & silt[near] & silt[far]
        pairs.append(np.sort(np.stack([first[meet], second[meet]]), axis=0))
    touching = np.concatenate(pairs, axis=1)
    return ContactSums(
        grains=int(grain.max(initial=0)),
        contacts=np.unique(touching, axis=1).shape[1],
        shared=touching.shape[1],
        free=free,
    )


def divide_grains(silt: Bools) -> npt.NDArray[np.int32]:
    """Give each grain of a mask a number, touching ones divided at their necks.

    Parameters
    ----------
    silt : ndarray of bool, shape (H, W)
        Pixels of silt.

    Returns
    -------
    ndarray of int32, shape (H, W)
        Grains from 1, the holes inside single grains filled; 0 elsewhere.

    Notes
    -----
    A watershed of the smoothed distance to the outline (Beucher and Lantuéjoul 1979), from the
    maxima that stand out against the way to any higher one by ``1 / NECK``, as a ratio: the
    extended maxima of its logarithm (Soille 2004, 6.3.5). What is thinner than some pixels has no
    maximum of its own.
    """
    import cv2
    from skimage.morphology import local_maxima, reconstruction
    from skimage.segmentation import watershed

    framed, holes = _fill_holes(np.pad(silt, 1).astype(np.uint8))
    distance = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    distance = cv2.GaussianBlur(distance, (0, 0), 1.0)
    height = np.where(framed > 0, np.log(np.maximum(distance, _THIN)), -1.0).astype(np.float32)
    count, region, boxes, _ = cv2.connectedComponentsWithStats(framed, connectivity=8)
    summits = ((cv2.dilate(height, np.ones((3, 3), np.uint8)) == height) & (framed > 0)).astype(
        np.uint8
    )
    plateaus, plateau = cv2.connectedComponents(summits, connectivity=8)
    owner = np.zeros(plateaus, np.int64)
    owner[plateau] = region  # any pixel of a plateau tells its region
    several = np.flatnonzero(np.bincount(owner[1:], minlength=count) > 1)
    grain: npt.NDArray[np.int32] = region.astype(np.int32)
    for index in several:
        left, top, width, high = boxes[index, :4]
        crop = np.s_[top - 1 : top + high + 1, left - 1 : left + width + 1]
        own = region[crop] == index
        surface = np.where(own, height[crop], np.float32(-1))
        domes = reconstruction(surface + math.log(NECK), surface)
        tops = cv2.connectedComponents(local_maxima(domes).astype(np.uint8), connectivity=8)
        if tops[0] > 2:
            parts = watershed(-distance[crop], tops[1], mask=own, connectivity=2)
            new = parts > 1
            grain[crop][new] = count + parts[new] - 2
            count += tops[0] - 2
    # A hole that several grains surround lies between them, not inside.
    inside = np.flatnonzero(holes)
    hole, owner = holes.ravel()[inside], grain.ravel()[inside].astype(np.int64)
    lowest, highest = (
        np.full(hole.max(initial=0) + 1, count),
        np.zeros(hole.max(initial=0) + 1, np.int64),
    )
    np.minimum.at(lowest, hole, owner)
    np.maximum.at(highest, hole, owner)
    grain.ravel()[inside[(lowest != highest)[hole]]] = 0
    return grain[1:-1, 1:-1]


def part_grains(mask: PhaseMask, labelling: Labelling, chosen: Bools) -> npt.NDArray[np.uint8]:
    """Tell the grains apart into which regions of silt are to be divided, for `label_mask`.

    Parameters
    ----------
    mask : PhaseMask
        The mask.
    labelling : Labelling
        Its objects.
    chosen : ndarray of bool, shape (N,)
        Which of them are to be divided, by `divide_grains`.

    Returns
    -------
    ndarray of uint8, shape (H, W)
        Numbers that differ between the grains of a region that touch; 0 in regions that stay.
    """
    import cv2

    objects, width = labelling.objects, mask.shape[1]
    parts = np.zeros(mask.shape, np.uint8)
    for index in np.flatnonzero(chosen):
        top, left, bottom, right = objects.box[:, index] * np.array([1, 1, -1, -1])
        window = slice(top, bottom), slice(left, right)
        silt = (mask.read(*window) == Phase.SILT).astype(np.uint8)
        region = cv2.connectedComponents(silt, connectivity=8)[1]
        row, column = divmod(int(objects.first[index]), width)
        own = region == region[row - top, column - left]
        grain = divide_grains(own) * own
        if grain.max(initial=0) > 1:
            parts[window] += _colour(grain)[grain]
    return parts


def _colour(grain: npt.NDArray[np.int32]) -> npt.NDArray[np.uint8]:
    """Return a number for each grain, 0 for none, that no grain beside it has."""
    beside: dict[int, set[int]] = {}
    for near, far in _NEIGHBOURS:
        first, second = grain[near], grain[far]
        meet = (first != second) & (first > 0) & (second > 0)
        for one, other in np.unique(np.stack([first[meet], second[meet]]), axis=1).T.tolist():
            beside.setdefault(one, set()).add(other)
            beside.setdefault(other, set()).add(one)
    colours = np.zeros(int(grain.max()) + 1, np.uint8)
    for one in range(1, len(colours)):
        taken = {int(colours[other]) for other in beside.get(one, ())}
        free = (colour for colour in range(1, MOST_PARTS) if colour not in taken)
        colours[one] = next(free, MOST_PARTS)
    return colours


def _fill_holes(silt: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], Ints]:
    """Fill holes that may lie inside a single grain, and return them, numbered from 1.

    What touching grains leave between them has corners that point into their necks; a hole in a
    grain is nearly convex, and no wider than the grain is beside it. The outermost pixels are no
    silt.
    """
    import cv2

    holes, hole = cv2.connectedComponents(1 - silt, connectivity=4)
    kept = np.zeros(holes, np.bool_)
    inside = ((silt == 0) & (hole != hole[0, 0])).astype(np.uint8)
    if inside.any():
        pixels = np.flatnonzero(inside)
        number = hole.ravel()[pixels].astype(np.intp)
        kept[number] = np.bincount(number, minlength=holes)[number] < _SPECK
        for outline in cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]:
            if len(outline) > 2:
                across, down = outline[0, 0]
                convex = cv2.contourArea(cv2.convexHull(outline))
                kept[hole[down, across]] |= cv2.contourArea(outline) >= _CONVEX * convex
        regions, region = cv2.connectedComponents(silt | inside, connectivity=8)
        wide, thick = np.zeros(holes, np.float32), np.zeros(regions, np.float32)
        for part, widest, owner in ((inside, wide, hole), (silt, thick, region)):
            there = np.flatnonzero(part)
            distance = cv2.distanceTransform(part, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            np.maximum.at(widest, owner.ravel()[there].astype(np.intp), distance.ravel()[there])
        host = np.zeros(holes, np.intp)
        host[number] = region.ravel()[pixels]
        kept &= wide <= thick[host]
    number = np.where(kept, np.cumsum(kept), 0)[hole]
    return silt | (number > 0), number


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


def have_direction(axis: npt.ArrayLike, aspect: npt.ArrayLike, pixels: npt.ArrayLike) -> Bools:
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
        Ones where None; frame weights to leave out what the frame cuts, which lies along it.

    Notes
    -----
    A long axis has no head or tail, so angles are doubled before they are averaged: Mardia and
    Jupp (2000), Directional Statistics, 9.4. With weights the test takes Kish's effective number
    for the number of axes.
    """
    doubled = 2 * np.asarray(angles, np.float64)
    weight = np.ones_like(doubled) if weights is None else np.asarray(weights, np.float64)
    total = float(weight.sum())
    if not total > 0:
        return AxialMean(math.nan, math.nan, 0.0, math.nan)
    resultant = complex(np.sum(weight * np.exp(1j * doubled)) / total)
    strength, number = min(abs(resultant), 1.0), effective_number(weight)
    angle = math.atan2(resultant.imag, resultant.real) / 2
    wrapped = (angle + math.pi / 2) % math.pi - math.pi / 2
    return AxialMean(wrapped, strength, number, rayleigh_p(strength, number))


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
        Ones where None; frame weights or areas.
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
