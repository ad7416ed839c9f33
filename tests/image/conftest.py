from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from mudrock_cli.image.types import Colours, Samples


@pytest.fixture
def noise() -> npt.NDArray[np.uint8]:
    """Grey levels without structure, 60 rows and 90 columns."""
    return np.random.default_rng(1).normal(128, 30, (60, 90)).clip(0, 255).astype(np.uint8)


@pytest.fixture
def phases() -> npt.NDArray[np.uint8]:
    """A small mask of all four values with patches of several sizes."""
    mask = np.zeros((70, 110), np.uint8)
    mask[10:40, 20:60] = 1
    mask[30:50, 70:75] = 2
    mask[-8:] = 255
    mask[np.random.default_rng(2).random(mask.shape) < 0.02] = 2
    return mask


@pytest.fixture
def lettered_bar() -> Callable[..., npt.NDArray[np.uint8]]:
    """A maker of data bars: one grey, and bright blocks as large as the strokes of letters."""

    def make(rows: int, columns: int, ground: int = 10) -> npt.NDArray[np.uint8]:
        bar = np.full((rows, columns), ground, np.uint8)
        strokes = np.random.default_rng(3).random((-(-rows // 9), columns // 3)) < 0.25
        glyphs = strokes.repeat(3, 0).repeat(3, 1)[: rows // 3]
        bar[rows // 3 : rows // 3 + len(glyphs), : glyphs.shape[1]][glyphs] = 255
        bar[:, columns // 10] = 255
        return bar

    return make


@pytest.fixture
def in_memory() -> Callable[..., Samples]:
    """A maker of stored samples from an array, shape (rows, columns) or with channels."""

    def make(
        values: npt.NDArray[np.generic],
        colours: Colours = Colours.GREY,
        palette: npt.NDArray[np.uint8] | None = None,
        bits: int | None = None,
    ) -> Samples:
        stored = values if values.ndim == 3 else values[..., None]
        return Samples(
            path=Path("memory.tif"),
            shape=(stored.shape[0], stored.shape[1]),
            channels=stored.shape[2],
            dtype=stored.dtype,
            bits=bits or stored.dtype.itemsize * 8,
            colours=colours,
            read=lambda rows, columns: stored[rows, columns],
            palette=palette,
        )

    return make
