"""Images by tiles and bands."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mudrock_cli.image.tiles import (
    BandCutter,
    axis_weights,
    blend_tiles,
    plan_tiles,
    read_reflected,
)


def _image(height: int, width: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(2, 40), st.data())
def test_tile_and_blend_is_identity(
    height: int, width: int, tile: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, tile - 1))
    margin = data.draw(st.integers(0, tile - 1))
    batch = data.draw(st.integers(1, 5))
    image = _image(height, width)
    plan = plan_tiles(image.shape, tile, overlap, margin)

    def compute(tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        assert tiles.shape[1:] == (tile, tile)
        assert len(tiles) <= batch
        return np.stack([tiles, 255 - tiles], -1).astype(np.float32)

    bands = list(blend_tiles(lambda rows, columns: image[rows, columns], plan, compute, batch))
    edges = [(rows.start, rows.stop) for rows, _ in bands]
    assert edges[0][0] == 0
    assert edges[-1][1] == height
    assert [stop for _, stop in edges[:-1]] == [start for start, _ in edges[1:]]
    blended = np.concatenate([band for _, band in bands])
    np.testing.assert_allclose(blended[..., 0], image, atol=1e-3)
    np.testing.assert_allclose(blended[..., 1], 255.0 - image, atol=1e-3)


@given(st.integers(1, 300), st.integers(2, 64), st.data())
def test_weights_sum_to_one_and_rise_from_the_edges(
    size: int, tile: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, tile - 1))
    starts = plan_tiles((size, size), tile, overlap).tops
    weights = axis_weights(starts, tile, size)
    total = np.zeros(size)
    for start, weight in zip(starts, weights, strict=True):
        inside = np.arange(max(start, 0), min(start + tile, size))
        total[inside] += weight[inside - start]
    np.testing.assert_allclose(total, 1, atol=1e-5)
    assert (weights >= 0).all()


def test_where_two_tiles_meet_the_blend_is_gradual() -> None:
    plan = plan_tiles((64, 112), 64, 16)
    assert len(plan.lefts) == 2
    values = iter([0.0, 1.0])

    def compute(tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return np.stack([np.full((64, 64, 1), next(values), np.float32) for _ in tiles])

    image = np.zeros((64, 112), np.uint8)
    ((_, band),) = blend_tiles(lambda rows, columns: image[rows, columns], plan, compute, 2)
    across = band[0, :, 0]
    assert across[0] == 0
    assert across[-1] == 1
    assert (np.diff(across) >= 0).all()
    assert np.diff(across).max() < 0.25


@given(st.integers(1, 12), st.integers(-30, 30), st.integers(1, 40))
def test_reflection_is_that_of_numpy(size: int, start: int, length: int) -> None:
    image = np.arange(size * size).reshape(size, size)
    window = slice(start, start + length)
    got = read_reflected(lambda rows, columns: image[rows, columns], image.shape, window, window)
    far = 100 if size > 1 else 0
    padded = np.pad(image, far, mode="reflect")
    if size > 1:
        shifted = slice(start + far, start + far + length)
        np.testing.assert_array_equal(got, padded[shifted, shifted])
    else:
        assert (got == 0).all()


def test_an_overlap_as_wide_as_a_tile_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        plan_tiles((100, 100), 32, 32)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=9), st.integers(1, 30))
def test_all_rows_come_in_blocks_of_one_height(heights: list[int], step: int) -> None:
    height = sum(heights)
    expected = np.arange(height * 3).reshape(height, 3)
    cutter, blocks, top = BandCutter(height, step), [], 0
    buffer = np.empty((40, 3), expected.dtype)  # one for all bands, as callers may have it
    for rows in heights:
        buffer[:rows] = expected[top : top + rows]
        top += rows
        blocks += list(cutter.cut(buffer[:rows]))
        buffer[:] = -1
    if height:
        np.testing.assert_array_equal(np.concatenate(blocks), expected)
    assert [len(block) for block in blocks[:-1]] == [step] * (-(-height // step) - 1)
