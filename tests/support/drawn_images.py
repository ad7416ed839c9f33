"""Drawn micrographs and masks for the commands."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from mudrock_cli.image.mask import PhaseMask, write_mask
from mudrock_cli.image.types import Phase, PixelSize

Bytes = npt.NDArray[np.uint8]


def draw_grey(shape: tuple[int, int] = (90, 130), seed: int = 0) -> Bytes:
    """Blocks of dark, middling and bright grey, far from the tiny model's thresholds."""
    rng = np.random.default_rng(seed)
    blocks = rng.choice([20, 120, 230], (shape[0] // 10 + 1, shape[1] // 10 + 1))
    return np.kron(blocks, np.ones((10, 10)))[: shape[0], : shape[1]].astype(np.uint8)


def expect_phases(grey: Bytes) -> Bytes:
    """Return what the tiny model sees in such blocks."""
    return np.select([grey < 60, grey > 180], [Phase.PORE, Phase.SILT], Phase.CLAY).astype(np.uint8)


def draw_noisy_grey(shape: tuple[int, int], seed: int) -> Bytes:
    """Blocks of five greys under a little noise."""
    rng = np.random.default_rng(seed)
    blocks = rng.choice([20, 110, 130, 150, 230], (shape[0] // 20 + 1, shape[1] // 20 + 1))
    grey = np.kron(blocks, np.ones((20, 20)))[: shape[0], : shape[1]]
    return np.clip(grey + rng.normal(0, 3, shape), 0, 255).astype(np.uint8)


def draw_phases(seed: int, shape: tuple[int, int] = (100, 120)) -> Bytes:
    """Squares of the three phases on a grid."""
    rng = np.random.default_rng(seed)
    phases = np.zeros(shape, np.uint8)
    for top in range(3, shape[0] - 12, 12):
        for left in range(3, shape[1] - 12, 12):
            side = rng.integers(2, 9)
            phases[top : top + side, left : left + side] = rng.choice([0, 1, 2])
    return phases


def save_mask(path: Path, phases: Bytes, nm: float | None = 500) -> None:
    """Write a mask, in folders that may be missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = None if nm is None else PixelSize(nm, "FEI tag 34682")
    write_mask(path, PhaseMask.from_array(path.stem, phases, size, {"method": "segment"}))
