"""How a scanning electron microscope sees a packing.

Secondary electrons leave edges more easily than flats and pits less easily than either, so the
picture is built from a height map: grey of the particle, darkened with depth, plus the height minus
its own blur (bright rims, dark feet), plus slope towards the detector; then beam, noise and faults.
"""

import cv2
import numpy as np
import numpy.typing as npt

from phantom.geometry import RECESS, Packing
from phantom.shapes import FLAT, HOLE, PYRITE, SILT, PhantomSpec, smooth_noise

Grey = npt.NDArray[np.float32]


def see(rng: np.random.Generator, spec: PhantomSpec, packing: Packing) -> npt.NDArray[np.uint8]:
    """Take the picture.

    Parameters
    ----------
    rng : numpy.random.Generator
    spec : PhantomSpec
    packing : Packing

    Returns
    -------
    ndarray of uint8, shape (H, W)
    """
    pores = (packing.depth > RECESS).astype(np.float32)[packing.front]
    grey = _defocus_floors(_paint_particles(rng, spec, packing), pores)
    grey += _light_edges(rng, spec, packing)
    grey += _texture(rng, spec, packing)
    grey = cv2.GaussianBlur(grey, (0, 0), spec.blur_px)
    grey += _faults(rng, spec, pores)
    grey += _shot_noise(rng, spec, grey)
    picture = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    return _compress(picture, spec.jpeg_quality)


def _paint_particles(rng: np.random.Generator, spec: PhantomSpec, packing: Packing) -> Grey:
    """Grey of every particle by kind and depth, with a slope of its own."""
    front, kind, depth = packing.front, np.append(packing.particles.kind, HOLE), packing.depth
    n = depth.size
    base = spec.brightness + rng.normal(0, 7, n) + np.where(kind == PYRITE, 65, 0)
    base += np.where(kind == SILT, rng.normal(spec.silt_grey, 6, n), 0)
    deep = 0.5 + 0.6 * (1 - np.exp(-2 * depth)) + rng.normal(0, 0.10, n)
    sunk = np.minimum(np.abs(rng.normal(0, 0.28, n)), np.where(kind == HOLE, 0.15, 0.4))
    dark = np.where(depth > RECESS, np.clip(deep, 0.3, 1.1), np.where(depth > 0, sunk, 0))
    grey = (base - dark * spec.contrast).astype(np.float32)
    slope = np.where(depth > RECESS, 0.5, np.where(kind == SILT, 0.03, 0.12))
    tilt = slope * rng.normal(0, 1, (2, n))
    middle = np.append(packing.particles.centre, [[0.0, 0.0]], axis=0)
    offset = grey - (tilt[0] * middle[:, 0] + tilt[1] * middle[:, 1])
    tilt, offset = tilt.astype(np.float32), offset.astype(np.float32)
    rows = np.arange(front.shape[0], dtype=np.float32)[:, None]
    columns = np.arange(front.shape[1], dtype=np.float32)[None, :]
    sloped = offset[front] + tilt[0][front] * columns + tilt[1][front] * rows
    spread = np.where(depth > RECESS, 30, 15).astype(np.float32)[front]
    return np.asarray(np.clip(sloped, grey[front] - spread, grey[front] + spread))


def _light_edges(rng: np.random.Generator, spec: PhantomSpec, packing: Packing) -> Grey:
    """Bright rims and dark feet from a height map, and slopes facing the detector."""
    depth, front = packing.depth, packing.front
    step = spec.relief / max(spec.edge, 1.0)
    below = np.where(depth > RECESS, -1 - 0.5 * depth, -1.5 * depth)
    height = np.where(depth > RECESS, below, below + step * rng.normal(0, 1, depth.size))
    relief = height.astype(np.float32)[front]
    relief -= _grooves(rng, packing)
    fine, broad = cv2.GaussianBlur(relief, (0, 0), 2.2), cv2.GaussianBlur(relief, (0, 0), 7)
    rim = np.where(depth > RECESS, -0.12, np.minimum(rng.gamma(6, 1 / 6, depth.size), 1.7)).astype(
        np.float32
    )[front]
    edges = rim * (1.2 * (relief - fine) + 0.8 * (relief - broad))
    azimuth = rng.uniform(0, 2 * np.pi)
    towards = np.cos(azimuth) * cv2.Sobel(fine, -1, 1, 0) + np.sin(azimuth) * cv2.Sobel(
        fine, -1, 0, 1
    )
    walls = np.cos(azimuth) * cv2.Sobel(broad, -1, 1, 0) + np.sin(azimuth) * cv2.Sobel(
        broad, -1, 0, 1
    )
    edges += 0.5 * _glow(packing)
    return np.asarray(spec.edge * (edges + 0.08 * towards + 0.4 * walls), np.float32)


def _glow(packing: Packing) -> Grey:
    """Rims of silt grains, brighter over some 0.2 µm: a quarter of the resolution is enough."""
    silt = (np.append(packing.particles.kind, HOLE) == SILT).astype(np.float32)[packing.front]
    size = (max(silt.shape[1] // 4, 1), max(silt.shape[0] // 4, 1))
    small = cv2.resize(silt, size, interpolation=cv2.INTER_AREA)
    around = cv2.resize(cv2.GaussianBlur(small, (0, 0), 5), silt.shape[::-1])
    return np.asarray(silt * (1 - around))


def _defocus_floors(grey: Grey, pores: Grey) -> Grey:
    """Blur what lies in the pores, without the surface bleeding into it."""
    floor = cv2.GaussianBlur(grey * pores, (0, 0), 4.5)
    floor /= np.maximum(cv2.GaussianBlur(pores, (0, 0), 4.5), 1e-3)
    return np.asarray(np.where(pores > 0, 0.75 * floor + 0.25 * grey, grey))


def _grooves(rng: np.random.Generator, packing: Packing) -> Grey:
    """Depth of the thin grooves where surface particles touch, each upper one with its own."""
    front, depth = packing.front, packing.depth
    solid = (depth <= RECESS)[front]
    contact = np.zeros(front.shape, bool)
    contact[:, 1:] |= (front[:, 1:] != front[:, :-1]) & solid[:, 1:] & solid[:, :-1]
    contact[1:] |= (front[1:] != front[:-1]) & solid[1:] & solid[:-1]
    pronounced = np.minimum(rng.gamma(0.7, 0.3, depth.size), 0.4).astype(np.float32)
    return np.asarray(np.where(contact, pronounced[front], np.float32(0)))


def _texture(rng: np.random.Generator, spec: PhantomSpec, packing: Packing) -> Grey:
    """Fine and middling mottle of the surface: strong on aggregates, weak on silt."""
    kind = np.append(packing.particles.kind, HOLE)
    amount = np.where(kind == SILT, 0.25, np.where(kind == FLAT, 1.0, 0.8))
    amount = amount * rng.gamma(4, 0.25, kind.size) * spec.texture
    mottle = rng.standard_normal(packing.front.shape, np.float32)
    fine, broad = cv2.GaussianBlur(mottle, (0, 0), 1.5), cv2.GaussianBlur(mottle, (0, 0), 4)
    # a blurred white noise has the standard deviation 1 / (2 sqrt(pi) sigma)
    return np.asarray(amount.astype(np.float32)[packing.front] * (3.5 * fine + 7 * broad))


def _shot_noise(rng: np.random.Generator, spec: PhantomSpec, grey: Grey) -> Grey:
    """Noise that grows with the square root of the signal, a little correlated along the scan."""
    noise = rng.standard_normal(grey.shape, np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 0.55) * 1.7
    return np.asarray(spec.noise * np.sqrt(np.maximum(grey, 20) / 150) * noise, np.float32)


def _faults(rng: np.random.Generator, spec: PhantomSpec, pores: Grey) -> Grey:
    """Uneven light, milling curtains, charging tails and brightness steps of mosaic tiles."""
    shape = pores.shape
    fault = spec.shading * smooth_noise(rng, shape, 0.6 * max(shape))
    fault += spec.curtaining * _curtains(rng, shape)
    if spec.charging > 0:
        fault += (
            spec.charging * 1.5 * (cv2.GaussianBlur(pores, (121, 3), 30, sigmaY=1) - pores.mean())
        )
        fault += 0.25 * spec.charging * rng.standard_normal((shape[0], 1))
    if spec.tile_steps > 0:
        top, left = int(rng.integers(0, 343)), int(rng.integers(0, 400))
        tiles = rng.normal(0, spec.tile_steps, (shape[0] // 343 + 2, shape[1] // 400 + 2))
        rows, columns = (np.arange(shape[0]) + top) // 343, (np.arange(shape[1]) + left) // 400
        fault += tiles[rows[:, None], columns[None, :]]
    return np.asarray(fault, np.float32)


def _curtains(rng: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Streaks along one direction, in bundles: noise long in that direction, mostly zero."""
    reach = int(np.hypot(*shape)) + 2
    across = cv2.GaussianBlur(rng.standard_normal((reach, 1)), (1, 0), 1.0) * 1.9
    strength = np.maximum(smooth_noise(rng, (reach // 4 + 1, reach // 4 + 1), 30), 0)
    strength = cv2.resize(strength, (reach, reach))
    streaks = strength * np.clip(across, -1, 3)
    turn = cv2.getRotationMatrix2D((reach / 2, reach / 2), float(rng.uniform(0, 180)), 1.0)
    turn[:, 2] -= ((reach - shape[1]) / 2, (reach - shape[0]) / 2)
    return np.asarray(cv2.warpAffine(streaks, turn, (shape[1], shape[0])))


def _compress(picture: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    if not quality:
        return picture
    _, code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE), np.uint8)
