import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mudrock_cli.image.types import Box, Inside

ends = st.none() | st.integers(-12, 12)


@given(ends, ends, ends, ends)
def test_slices_resolve_as_numpy_does(
    top: int | None, bottom: int | None, left: int | None, right: int | None
) -> None:
    image = np.arange(7 * 9).reshape(7, 9)
    rows, columns = slice(top, bottom), slice(left, right)
    box = Box.from_slices(rows, columns, image.shape)
    np.testing.assert_array_equal(image[box.rows, box.columns], image[rows, columns])
    assert box.shape == image[rows, columns].shape


@given(ends, ends, ends, ends)
def test_inside_a_box_rows_and_columns_count_from_its_corner(
    top: int | None, bottom: int | None, left: int | None, right: int | None
) -> None:
    image = np.arange(12 * 15).reshape(12, 15)
    inside = Inside(lambda rows, columns: image[rows, columns], Box(2, 4, 9, 13))
    rows, columns = slice(top, bottom), slice(left, right)
    np.testing.assert_array_equal(inside(rows, columns), image[2:9, 4:13][rows, columns])


def test_a_step_is_refused() -> None:
    with pytest.raises(ValueError, match="step"):
        Box.from_slices(slice(0, 4, 2), slice(None), (10, 10))


def test_boxes_that_do_not_meet_share_nothing() -> None:
    assert Box(0, 0, 2, 2).intersect(Box(5, 1, 7, 2)).height == 0
    assert Box(0, 0, 4, 4).intersect(Box(2, 1, 7, 9)) == Box(2, 1, 4, 4)
