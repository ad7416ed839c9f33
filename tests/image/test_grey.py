from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.grey import luminance, normalise_grey, order_statistics, read_grey
from mudrock_cli.image.types import Box, Colours, Samples

EVERYTHING = (slice(None), slice(None))
Maker = Callable[..., Samples]
numbers = st.one_of(
    hnp.arrays(np.uint16, (5, 7)),
    hnp.arrays(np.int16, (5, 7)),
    hnp.arrays(np.uint32, (5, 7)),
    hnp.arrays(np.int32, (5, 7)),
    hnp.arrays(np.float32, (5, 7), elements=st.floats(width=32, allow_nan=False)),
)


@given(numbers, st.floats(0, 1), st.floats(0, 1))
def test_order_statistics_are_exact(values: np.ndarray, one: float, other: float) -> None:
    def bands() -> Iterator[np.ndarray]:
        yield values[:2]
        yield values[2:]

    ordered = np.sort(values.ravel())
    expected = tuple(float(ordered[int(share * (ordered.size - 1))]) for share in (one, other))
    assert order_statistics(bands(), (one, other)) == expected


def test_the_data_bar_is_out_of_the_range(in_memory: Maker) -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(20000, 500, (200, 120)).astype(np.uint16)
    image[180:] = 65535
    grey = read_grey(in_memory(image), Box(0, 0, 180, 120))(*EVERYTHING)
    assert grey[:180].min() == 0
    assert grey[:180].max() == 255
    assert abs(grey[:180].mean() - 128) < 10
    assert (grey[180:] == 255).all()


def test_a_few_hot_pixels_do_not_flatten_the_rest(in_memory: Maker) -> None:
    image = np.random.default_rng(0).normal(1000, 100, (200, 120)).astype(np.float32)
    image[3, 3] = 1e30
    image[5, 5] = -1e30
    grey = read_grey(in_memory(image))(*EVERYTHING)
    assert 30 < grey.std() < 60


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.int8])
def test_a_constant_image_is_one_grey(in_memory: Maker, dtype: type) -> None:
    grey = read_grey(in_memory(np.full((20, 20), 7, dtype)))(*EVERYTHING)
    assert (grey == grey[0, 0]).all()


def test_a_nearly_constant_image_keeps_its_outliers(in_memory: Maker) -> None:
    image = np.full((100, 100), 500, np.uint16)
    image[50, 50] = 900
    grey = read_grey(in_memory(image))(*EVERYTHING)
    assert grey[50, 50] == 255
    assert grey[0, 0] == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_no_number_is_refused(in_memory: Maker, value: float) -> None:
    image = np.random.default_rng(0).random((30, 30), np.float64)
    image[4, 4] = value
    with pytest.raises(MudrockError, match="NaN or infinite") as caught:
        read_grey(in_memory(image))(*EVERYTHING)
    assert "memory.tif" in caught.value.message
    assert caught.value.hint


def test_inverted_depths_are_inverted(in_memory: Maker) -> None:
    image = np.random.default_rng(0).integers(0, 4000, (40, 40), np.uint16)
    plain = read_grey(in_memory(image))(*EVERYTHING)
    inverted = read_grey(in_memory(image, Colours.INVERTED))(*EVERYTHING)
    np.testing.assert_array_equal(inverted, 255 - plain)


@given(hnp.arrays(np.uint8, (4, 5)), st.sampled_from([np.uint8, np.uint16, np.float32]))
def test_grey_colours_keep_their_level(levels: np.ndarray, dtype: type) -> None:
    wide = levels.astype(dtype) * dtype(100 if dtype is np.uint16 else 1)
    np.testing.assert_array_equal(luminance(np.stack([wide] * 3, -1)), wide)


@pytest.mark.parametrize(("gain", "offset"), [(0.3, 100), (0.6, 20), (1, -20), (2, -140)])
def test_normalised_grey_does_not_know_gain_and_offset(gain: float, offset: float) -> None:
    rng = np.random.default_rng(0)
    grey = np.clip(rng.normal(130, 22, (300, 400)), 30, 220)  # a gain of 2 saturates its tails

    def normalise(levels: np.ndarray) -> np.ndarray:
        stored = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
        read = normalise_grey(lambda rows, columns: stored[rows, columns], stored.shape)
        return read(*EVERYTHING)

    plain, changed = normalise(grey), normalise(gain * grey + offset)
    assert plain.dtype == np.float32
    assert np.percentile(plain, [10, 90]) == pytest.approx([96, 176], abs=1.5)
    inner = (plain > 60) & (plain < 200)
    rounding = 40 / 28 / min(gain, 1)  # 80 levels for a range of 56, half a stored level
    assert np.abs(changed - plain)[inner].max() < rounding + 1
    assert np.abs((changed - plain)[inner].mean()) < 0.3


def test_normalised_grey_of_one_level_is_finite() -> None:
    for level in (0, 7, 255):
        flat = np.full((5, 6), level, np.uint8)
        read = normalise_grey(lambda rows, columns, flat=flat: flat[rows, columns], flat.shape)
        assert np.ptp(read(*EVERYTHING)) == 0
        assert 0 <= read(slice(1), slice(1))[0, 0] <= 255
    nothing = np.zeros((0, 6), np.uint8)
    assert normalise_grey(lambda rows, columns: nothing[rows, columns], (0, 6))(
        *EVERYTHING
    ).shape == (0, 6)


def test_normalised_grey_of_a_mosaic_is_told_by_bands() -> None:
    seen = []

    def read(rows: slice, columns: slice) -> np.ndarray:
        seen.append(rows.stop - rows.start)
        height = np.arange(rows.start, rows.stop)[:, None] % 200
        return np.broadcast_to(height, (len(height), columns.stop - columns.start)).astype(np.uint8)

    window = normalise_grey(read, (40_000, 5_000))(slice(0, 200), slice(0, 10))
    assert sum(seen[:-1]) * 5_000 < 1.2 * 2**24
    assert np.percentile(window, [10, 90]) == pytest.approx([96, 176], abs=1.5)
