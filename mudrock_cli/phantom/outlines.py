"""Outlines of particles as polygons, many at a time.

Every function returns vertices of shape (n, vertices, 2), (x, y) in pixels, around the origin.
"""

import numpy as np
import numpy.typing as npt

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
