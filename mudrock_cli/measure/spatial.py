"""How objects lie in a field: nearest neighbours, Clark and Evans, Ripley's L, long axes.

Points are the centroids of instances, shape (N, 2), rows before columns, measured from the upper
left corner of the `Window` and in its unit. Grains have a size and cannot overlap, so even a
random packing looks regular at distances below a grain diameter.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mudrock_cli.measure.shapes import Bools, Floats
from mudrock_cli.measure.sizes import LEAST_PIXELS, effective_number
from mudrock_cli.measure.window import Window

LEAST_POINTS = 8
"""Fewer points than this give no p value of Clark and Evans' test (Donnelly 1978)."""

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
    p : float
        Two-sided p value of the mean distance under complete randomness; NaN for fewer than
        ``LEAST_POINTS`` points.
    """

    index: float
    p: float


@dataclass(frozen=True)
class RipleyL:
    """Ripley's L function.

    Parameters
    ----------
    radii : ndarray of float64, shape (K,)
        Distances.
    l : ndarray of float64, shape (K,)
        ``sqrt(K / pi)``, which is the distance itself for a random pattern.
    critical : float
        A random pattern stays within ``L - r = ± critical`` at all distances nineteen times out
        of twenty.
    """

    radii: Floats
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
        return ClarkEvans(math.nan, math.nan)
    area = window.area
    apart = 0.5 * math.sqrt(area / number)
    perimeter = window.perimeter(apart)
    expected = apart + (0.0514 + 0.0412 / math.sqrt(number)) * perimeter / number
    error = math.sqrt(0.0703 * area / number**2 + 0.037 * perimeter * math.sqrt(area / number**5))
    mean = float(distances.mean())
    z = (mean - expected) / error
    p = math.erfc(abs(z) / math.sqrt(2)) if number >= LEAST_POINTS else math.nan
    return ClarkEvans(mean / expected, p)


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
        return RipleyL(radii, np.full(len(radii), np.nan), math.nan)
    count = _count_exact if number <= _EXACT else _count_gridded
    k = area**2 / (number * (number - 1)) * np.cumsum(count(points, window, radii))
    return RipleyL(radii, np.sqrt(k / math.pi), _critical(number, window))


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


# The direction that long axes have in common: axial mean, Rayleigh test, rose. Angles are in
# radians on any scale within half a turn; what comes back is on the same.

ELONGATED = 1.2
"""Least aspect ratio of an object that has a direction."""

_SECTORS = 18  # of half a turn, in a rose


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


def rose(angles: npt.ArrayLike, weights: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Return the share of axes in each of 18 sectors of half a turn.

    Parameters
    ----------
    angles : array_like, shape (N,)
        Axes in radians.
    weights : array_like, shape (N,)
        Frame weights, for example.

    Returns
    -------
    edges : ndarray of float64, shape (19,)
        Limits of the sectors, from -pi/2 to pi/2.
    shares : ndarray of float64, shape (18,)
        They sum to 1; all 0 where there is no axis.
    """
    axes = np.mod(np.asarray(angles, np.float64) + np.pi / 2, np.pi)
    sector = np.minimum((axes * _SECTORS / np.pi).astype(np.intp), _SECTORS - 1)
    sums = np.bincount(sector, np.asarray(weights, np.float64), minlength=_SECTORS)
    edges = np.linspace(-np.pi / 2, np.pi / 2, _SECTORS + 1)
    return edges, sums / (sums.sum() or 1.0)
