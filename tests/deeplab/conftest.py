from collections.abc import Callable

import numpy as np
import pytest

from mudrock_cli.deeplab.dataset import Sample
from mudrock_cli.deeplab.recipe import Recipe


@pytest.fixture
def make_sample() -> Callable[..., Sample]:
    """Dark discs are pores, bright ones silt, and noise lies over all."""

    def make(name: str = "a", shape: tuple[int, int] = (96, 128), seed: int = 0) -> Sample:
        rng = np.random.default_rng(seed)
        rows, columns = np.mgrid[: shape[0], : shape[1]]
        labels = np.zeros(shape, np.uint8)
        for phase in (1, 2) * 5:
            row, column = rng.integers(shape[0]), rng.integers(shape[1])
            disc = (rows - row) ** 2 + (columns - column) ** 2 < rng.integers(6, 14) ** 2
            labels[disc] = phase
        levels = np.array([120, 190, 40])[labels] + rng.normal(0, 6, shape)
        grey = np.clip(levels, 0, 255).astype(np.uint8)
        return Sample(name, name, grey, labels)

    return make


@pytest.fixture
def tiny_recipe() -> Recipe:
    """A U-Net of four channels: small enough to train in a test."""
    return Recipe.from_dict(
        {
            "network": {
                "architecture": "unet",
                "encoder": "plain",
                "unet_channels": 4,
                "unet_levels": 1,
                "batch_norm_decay": 0.9,
            },
            "data": {"crop": (32, 48), "tile": (0, 0), "mirrored": False, "images": 0},
            "augment": {"scale": (0.9, 1.1), "brightness": 5.0, "noise": 3.0},
            "loss": {"dice": 0.5, "weight_decay": 1e-4},
            "optimizer": {"name": "adamw", "rate": 1e-2, "decay_steps": 0, "warmup_steps": 2},
            "training": {"batch": 2, "epochs": 3, "steps_per_epoch": 3, "average": 0.9, "seed": 7},
            "inference": {"tile": 64, "overlap": 16},
        }
    )
