"""Folders of drawn micrographs and masks."""

from pathlib import Path

import pytest
from drawn_images import draw_grey, draw_phases, save_mask
from PIL import Image


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Three images in two folders."""
    images = tmp_path / "images"
    (images / "deep").mkdir(parents=True)
    for seed, name in enumerate(["a.tif", "b.png", "deep/c.tif"]):
        Image.fromarray(draw_grey(seed=seed)).save(images / name)
    return images


@pytest.fixture
def mask_folder(tmp_path: Path) -> Path:
    """Two masks of different pixel sizes, in two folders."""
    masks = tmp_path / "masks"
    save_mask(masks / "a.tif", draw_phases(0), 500)
    save_mask(masks / "deep" / "b.tif", draw_phases(1), 1000)
    return masks
