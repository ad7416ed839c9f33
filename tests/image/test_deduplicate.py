"""Copied rows and columns are found, left out and put back; nothing else is."""

import pickle
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mudrock_cli.image import resample as enlargement
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.resample import deduplicate
from mudrock_cli.image.tiles import row_bands
from mudrock_cli.image.types import Box, PixelSize

Grey = npt.NDArray[np.uint8]


def noise(shape: tuple[int, int], seed: int = 0) -> Grey:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def enlarge(grey: Grey, factor: float) -> Grey:
    """Enlarge by nearest neighbour."""
    rows, columns = (np.arange(round(n * factor)) * n // round(n * factor) for n in grey.shape)
    return grey[rows][:, columns]


def wrap(grey: Grey, nm: float | None = 10.0, box: Box | None = None) -> Micrograph:
    return Micrograph.from_array("x", grey, PixelSize(nm, "test") if nm else None, box)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(20, 60), st.integers(20, 60)),
    factor=st.floats(1.1, 5.0),
    seed=st.integers(0, 100),
)
def test_an_enlargement_is_undone_and_redone(
    shape: tuple[int, int], factor: float, seed: int
) -> None:
    small = noise(shape, seed)
    large = enlarge(small, factor)
    deduplicated = deduplicate(wrap(large))
    found = deduplicated.micrograph.grey()
    np.testing.assert_array_equal(found, small)
    whole = deduplicated.restore(found, slice(0, len(found)))
    np.testing.assert_array_equal(whole, large)
    assert deduplicated.area_factor == pytest.approx(large.size / small.size)
    assert deduplicated.micrograph.pixel_size is not None
    assert deduplicated.micrograph.pixel_size.nm == pytest.approx(
        10 * deduplicated.area_factor**0.5, rel=0.01
    )


def test_bands_are_restored_to_the_rows_that_they_were_made_from() -> None:
    small = noise((50, 40))
    large = enlarge(small, 1.3)
    deduplicated = deduplicate(wrap(large))
    done = 0
    for top in range(0, 50, 7):
        rows = slice(top, min(top + 7, 50))
        restored = deduplicated.restore_rows(rows)
        assert restored.start == done
        np.testing.assert_array_equal(deduplicated.restore(small[rows], rows), large[restored])
        done = restored.stop
    assert done == len(large)


def test_any_window_of_what_is_left_can_be_read() -> None:
    small = noise((50, 40))
    read = deduplicate(wrap(enlarge(small, 1.2))).micrograph.read
    for window in (np.s_[3:17, 5:6], np.s_[:, :], np.s_[49:, :3], np.s_[7:7, 2:9], np.s_[40:90, :]):
        np.testing.assert_array_equal(read(*window), small[window])


def test_what_is_left_is_the_same_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    large = enlarge(noise((90, 30)), 1.25)
    whole = deduplicate(wrap(large))
    for pixels in (1, 400, 1000):
        monkeypatch.setattr(enlargement, "row_bands", partial(row_bands, pixels=pixels))
        banded = deduplicate(wrap(large))
        np.testing.assert_array_equal(banded.rows, whole.rows)
        np.testing.assert_array_equal(banded.columns, whole.columns)


def test_a_usual_micrograph_stays_as_it_is_and_is_hardly_read() -> None:
    grey = noise((3000, 2000))
    read: list[int] = []

    def count(rows: slice, columns: slice) -> Grey:
        window = grey[rows, columns]
        read.append(window.size)
        return window

    whole = wrap(grey)
    micrograph = Micrograph("x", None, grey.shape, count, whole.specimen, whole.pixel_size)
    deduplicated = deduplicate(micrograph)
    assert deduplicated.micrograph is micrograph
    assert deduplicated.area_factor == 1
    assert sum(read) < grey.size
    assert deduplicated.restore(grey, slice(0, 3000)) is grey
    assert deduplicated.choose(count) is count


def test_a_blank_margin_is_no_enlargement() -> None:
    grey = noise((200, 200))
    grey[:60] = 0
    grey[:, 150:] = 0
    micrograph = wrap(grey)
    assert deduplicate(micrograph).micrograph is micrograph


def test_a_blank_margin_of_an_enlargement_stays() -> None:
    grey = noise((100, 100))
    grey[:30] = 0
    deduplicated = deduplicate(wrap(enlarge(grey, 1.25)))
    assert deduplicated.micrograph.shape[1] == 100
    np.testing.assert_array_equal(deduplicated.micrograph.grey()[-70:], grey[30:])
    assert deduplicated.micrograph.pixel_size is not None
    assert deduplicated.micrograph.pixel_size.nm == pytest.approx(12.5, rel=0.01)


def test_lines_copied_along_one_axis_only_are_kept() -> None:
    grey = np.repeat(noise((80, 80)), 2, axis=0)
    micrograph = wrap(grey)
    assert deduplicate(micrograph).micrograph is micrograph


def test_a_few_equal_lines_are_kept() -> None:
    grey = noise((100, 100))
    grey[50] = grey[49]
    grey[:, 20] = grey[:, 19]
    micrograph = wrap(grey)
    assert deduplicate(micrograph).micrograph is micrograph


def test_the_data_bar_is_left_out_and_stays_outside() -> None:
    small = noise((60, 50))
    large = enlarge(small, 1.2)
    with_bar = np.vstack([large, np.repeat(large[-1:], 9, axis=0)])
    box = Box(0, 0, len(large), large.shape[1])
    deduplicated = deduplicate(wrap(with_bar, box=box))
    inner = deduplicated.micrograph.specimen
    assert inner.shape == (60, 50)
    restored = deduplicated.restore_rows(slice(inner.top, inner.bottom))
    assert (restored.start, restored.stop) == (0, len(large))
    assert len(deduplicated.rows) == len(with_bar)


def test_labels_are_taken_where_a_seam_has_not_spoilt_them() -> None:
    small = noise((40, 40))
    large = enlarge(small, 2.0)
    labels = np.zeros_like(large)
    labels[::2] = 255  # the first of every two equal rows
    known = deduplicate(wrap(large)).choose(lambda rows, columns: labels[rows, columns])
    assert not known(slice(None), slice(None)).any()


def test_without_a_pixel_size_there_is_none_afterwards() -> None:
    assert deduplicate(wrap(enlarge(noise((40, 40)), 1.5), None)).micrograph.pixel_size is None


def test_what_is_left_travels_to_other_processes() -> None:
    reader = deduplicate(wrap(enlarge(noise((40, 40)), 1.5))).choose(_Ramp())
    again = pickle.loads(pickle.dumps(reader))
    np.testing.assert_array_equal(again(slice(3, 9), slice(2, 5)), reader(slice(3, 9), slice(2, 5)))


class _Ramp:
    """A reader that can be pickled."""

    def __call__(self, rows: slice, columns: slice) -> Grey:
        ramp = np.add.outer(np.arange(60), np.arange(60)).astype(np.uint8)
        return ramp[rows, columns]
