import pickle

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.resample import resample, resample_bands, resample_micrograph
from mudrock_cli.image.types import Box, Inside, PixelSize

IMAGE = np.random.default_rng(0).integers(0, 256, (61, 83), np.uint8)
EVERYTHING = (slice(None), slice(None))


def read(rows: slice, columns: slice) -> np.ndarray:
    return IMAGE[rows, columns]


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 130), st.integers(1, 130), st.booleans(), st.data())
def test_a_window_is_a_window_of_the_whole(
    height: int, width: int, labels: bool, data: st.DataObject
) -> None:
    resampled = resample(read, IMAGE.shape, (height, width), labels=labels)
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    bottom, right = data.draw(st.integers(top, height)), data.draw(st.integers(left, width))
    whole = resampled(*EVERYTHING)
    assert whole.shape == (height, width)
    window = resampled(slice(top, bottom), slice(left, right))
    np.testing.assert_array_equal(window, whole[top:bottom, left:right])


@pytest.mark.parametrize("shape", [(30, 40), (47, 51), (61, 41), (9, 83)])
def test_a_reduction_is_opencvs_area(shape: tuple[int, int]) -> None:
    expected = cv2.resize(IMAGE, shape[::-1], interpolation=cv2.INTER_AREA)
    got = resample(read, IMAGE.shape, shape)(*EVERYTHING)
    assert np.abs(got.astype(int) - expected).max() <= 1


def test_an_enlargement_keeps_a_plane() -> None:
    rows, columns = np.mgrid[:40, :50]
    plane = (2 * rows + columns).astype(np.float32)
    big = resample(lambda r, c: plane[r, c], plane.shape, (120, 150))(*EVERYTHING)
    fine_rows, fine_columns = (np.mgrid[:120, :150] + 0.5) / 3 - 0.5
    inner = (slice(9, -9), slice(9, -9))
    np.testing.assert_allclose(big[inner], (2 * fine_rows + fine_columns)[inner], atol=1e-3)


def test_averaging_keeps_the_mean() -> None:
    small = resample(lambda r, c: IMAGE[r, c].astype(np.float32), IMAGE.shape, (13, 17))
    assert small(*EVERYTHING).mean() == pytest.approx(IMAGE.mean(), rel=1e-5)


def test_labels_stay_labels_and_come_back() -> None:
    labels = np.random.default_rng(1).choice(np.array([0, 1, 2, 255], np.uint8), (20, 30))
    big = resample(lambda r, c: labels[r, c], labels.shape, (60, 90), labels=True)
    np.testing.assert_array_equal(big(*EVERYTHING), labels.repeat(3, 0).repeat(3, 1))
    back = resample(big, (60, 90), labels.shape, labels=True)(*EVERYTHING)
    np.testing.assert_array_equal(back, labels)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 130), st.integers(1, 130), st.lists(st.integers(1, 60), max_size=5))
def test_labels_in_bands_are_those_of_the_whole(height: int, width: int, cuts: list[int]) -> None:
    whole = resample(read, IMAGE.shape, (height, width), labels=True)(*EVERYTHING)
    bands = resample_bands(np.split(IMAGE, sorted(set(cuts))), IMAGE.shape, (height, width))
    np.testing.assert_array_equal(np.concatenate(list(bands)), whole)


def test_a_reader_of_an_enlarged_box_travels_to_other_processes() -> None:
    box = Box(3, 5, 50, 70)
    reader = resample(Inside(read, box), box.shape, (94, 130))
    window = (slice(10, 40), slice(None))
    expected = resample(lambda r, c: IMAGE[3:50, 5:70][r, c], box.shape, (94, 130))(*window)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(reader))(*window), expected)


def test_a_micrograph_at_another_pixel_size_covers_the_same_field() -> None:
    grey = np.repeat(np.repeat(IMAGE, 2, 0), 2, 1)
    fine = Micrograph.from_array("a", grey, PixelSize(5, "test"), Box(0, 0, 101, 166))
    coarse = resample_micrograph(fine, 10)
    assert coarse.shape == IMAGE.shape
    assert coarse.specimen == Box(0, 0, 50, 83)
    assert coarse.pixel_size is not None
    assert coarse.pixel_size.nm == 10
    np.testing.assert_array_equal(coarse.grey(), IMAGE)
    assert resample_micrograph(coarse, 10) is coarse


def test_a_micrograph_without_pixel_size_cannot_be_resampled() -> None:
    with pytest.raises(ValueError, match="pixel size"):
        resample_micrograph(Micrograph.from_array("a", IMAGE), 10)
