import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mudrock_cli.image.tiles import BandCutter


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
