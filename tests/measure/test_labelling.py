"""Labelling in bands against labelling in one piece, and against scikit-image."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import label

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Phase, PixelSize
from mudrock_cli.measure.cells import CellCounter, count_cells
from mudrock_cli.measure.components import Labelling, label_mask, whole_areas
from mudrock_cli.measure.instances import measure_instances

Phases = npt.NDArray[np.uint8]
PIXEL = PixelSize(250.0, "test")

small_masks = arrays(
    np.uint8,
    st.tuples(st.integers(1, 17), st.integers(1, 13)),
    elements=st.sampled_from([0, 0, 1, 1, 2, 2, 255]),
)


def blobs(shape: tuple[int, int], seed: int) -> Phases:
    """Round-ish random objects of both phases, some of them large."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    silt, pore = (gaussian_filter(rng.standard_normal(shape), 2.5) for _ in range(2))
    phases = np.zeros(shape, np.uint8)
    phases[silt > 0.06] = Phase.SILT
    phases[pore > 0.1] = Phase.PORE
    phases[-5:] = Phase.VOID
    return phases


def label_array(phases: Phases, band_rows: int | None = None) -> Labelling:
    return label_mask(PhaseMask.from_array("a", phases), band_rows=band_rows)


def paint(phases: Phases, band_rows: int | None = None) -> npt.NDArray[np.uint32]:
    mask = PhaseMask.from_array("a", phases)
    return np.concatenate(list(label_mask(mask, band_rows=band_rows).paint(mask)))


def label_by_skimage(phases: Phases) -> npt.NDArray[np.int64]:
    """Both phases, numbered together in raster order of first pixels."""
    both = label(phases == 1, connectivity=2) + 0
    pores = label(phases == 2, connectivity=2)
    both[pores > 0] = pores[pores > 0] + both.max()
    found, first = np.unique(both, return_index=True)
    number = np.zeros(both.max() + 1, np.int64)
    objects = found[found > 0][np.argsort(first[found > 0])]
    number[objects] = np.arange(1, len(objects) + 1)
    return number[both]


@given(small_masks, st.integers(1, 18))
@settings(max_examples=150, deadline=None)
def test_bands_change_nothing(phases: Phases, band_rows: int) -> None:
    np.testing.assert_array_equal(paint(phases, band_rows), label_by_skimage(phases))
    whole = measure_instances("a", label_array(phases), PIXEL, 1.0)
    assert measure_instances("a", label_array(phases, band_rows), PIXEL, 1.0).equals(whole)


@pytest.mark.parametrize("band_rows", [1, 7, 64, 100])
def test_bands_change_nothing_for_large_objects(band_rows: int) -> None:
    phases = blobs((150, 170), seed=3)
    np.testing.assert_array_equal(paint(phases, band_rows), label_by_skimage(phases))
    whole = measure_instances("a", label_array(phases), PIXEL, 2.0)
    assert measure_instances("a", label_array(phases, band_rows), PIXEL, 2.0).equals(whole)


def test_diagonal_steps_over_a_seam_join() -> None:
    for phases in (np.eye(6, dtype=np.uint8), np.fliplr(np.eye(6, dtype=np.uint8)).copy()):
        assert len(label_array(phases, band_rows=3)) == 1


def test_spiral_is_one_object_in_any_bands() -> None:
    phases = np.zeros((11, 11), np.uint8)
    for turn in range(0, 6, 2):
        phases[turn, turn : 11 - turn] = phases[10 - turn, turn : 11 - turn] = Phase.PORE
        phases[turn : 11 - turn, 10 - turn] = Phase.PORE
        phases[turn + 2 : 11 - turn, turn] = Phase.PORE
        phases[turn + 2, turn : turn + 3] = Phase.PORE
    assert {len(label_array(phases, rows)) for rows in range(1, 12)} == {1}


def test_void_is_no_object_but_is_counted() -> None:
    phases = np.zeros((10, 8), np.uint8)
    phases[7:] = Phase.VOID
    phases[1:3, 1:3] = Phase.SILT
    labelling = label_array(phases, band_rows=4)
    assert len(labelling) == 1
    assert labelling.void_area == 24
    assert labelling.specimen is not None
    assert labelling.specimen.shape == (7, 8)


@pytest.mark.parametrize("value", [Phase.VOID, Phase.CLAY])
def test_masks_without_objects(value: int) -> None:
    phases = np.full((5, 4), value, np.uint8)
    labelling = label_array(phases)
    assert len(labelling) == 0
    assert (labelling.specimen is None) == (value == Phase.VOID)
    assert measure_instances("a", labelling, PIXEL, 2.0).num_rows == 0
    assert not paint(phases).any()


def test_layers_are_summed_over_objects_in_any_bands() -> None:
    phases = blobs((60, 50), seed=1)
    grey = np.random.default_rng(2).integers(0, 256, phases.shape, np.uint8)
    mask = PhaseMask.from_array("a", phases)
    labels = paint(phases)
    for rows in (7, 60):
        labelling = label_mask(
            mask, layers={"grey": lambda rows, columns: grey[rows, columns]}, band_rows=rows
        )
        for index, total in enumerate(labelling.objects.sums["grey"], 1):
            assert total == grey[labels == index].sum(dtype=np.int64)


def test_other_values_are_refused_by_name() -> None:
    phases = np.zeros((6, 6), np.uint8)
    phases[4, 4] = 7
    with pytest.raises(MudrockError, match="a: no phase mask, it holds the value 7"):
        label_array(phases, band_rows=2)


@pytest.mark.parametrize("rows", [1, 3, 16, 50])
def test_cells_are_counted_in_the_same_pass(rows: int) -> None:
    phases = blobs((50, 150), seed=4)
    mask = PhaseMask.from_array("a", phases)
    cells = CellCounter(phases.shape, is_small)
    labelling = label_mask(mask, band_rows=rows, cells=cells)
    assert cells.side == 3
    np.testing.assert_array_equal(cells.counts, count_cells(phases, 3))
    chosen = (labelling.objects.phase == Phase.SILT) & is_small(whole_areas(labelling.objects))
    assert 0 < chosen.sum() < np.count_nonzero(labelling.objects.phase == Phase.SILT)
    labels = np.concatenate(list(labelling.paint(mask))).astype(np.int64)
    wanted = (np.isin(labels, 1 + np.flatnonzero(chosen))).astype(np.uint8)
    np.testing.assert_array_equal(cells.small_silt, count_cells(wanted, 3)[..., Phase.SILT])


def is_small(area: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    return area <= 40
