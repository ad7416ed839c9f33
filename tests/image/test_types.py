"""Boxes, windows, lengths."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.types import Box, Inside, PixelSize

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


UNITS = {"pm": 1e-3, "Å": 0.1, "nm": 1.0, "um": 1e3, "µm": 1e3, "μm": 1e3, "mm": 1e6, "m": 1e9}


@given(
    st.floats(1.0, 1e6),
    st.sampled_from(sorted(UNITS)),
    st.sampled_from(["", " "]),
)
def test_a_written_length_comes_back(number: float, unit: str, gap: str) -> None:
    size = PixelSize.parse(f"{number!r}{gap}{unit}", "test")
    assert size.nm == pytest.approx(number * UNITS[unit], rel=1e-12)
    assert size.source == "test"


@pytest.mark.parametrize(
    "text", ["", "10", "nm", "ten nm", "0 nm", "-5nm", "10 furlong", "1e999nm", "1e-9nm"]
)
def test_what_is_no_length_is_refused(text: str) -> None:
    with pytest.raises(MudrockError):
        PixelSize.parse(text, "--pixel-size")


@given(st.text(max_size=30))
def test_any_text_is_a_length_or_refused(text: str) -> None:
    with contextlib.suppress(MudrockError):
        assert PixelSize.parse(text, "test").nm > 0
