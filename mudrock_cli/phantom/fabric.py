"""Coarse fields that steer the platelets of a mud: how they lie, how loosely, where silt is."""

import cv2
import numpy as np
import numpy.typing as npt

from mudrock_cli.phantom.outlines import Floats
from mudrock_cli.phantom.spec import PhantomSpec

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
