"""Outlines of a finished mask move to where they are visible, in bands as in one piece."""

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phantom import Phantom, make_phantom
from phantom.geometry import label_like_workflow

from mudrock_cli.classical.outlines import exact_outlines
from mudrock_cli.classical.recipe import WorkflowRecipe, load_recipe
from mudrock_cli.classical.workflow import label_phases
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.types import Phase, PixelSize

Grey = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(3, (700, 800))


def move(phases: Grey, grey: Grey, nm: float = 10.0, cuts: tuple[int, ...] = ()) -> Grey:
    micrograph = Micrograph.from_array("made", grey, PixelSize(nm, "test"))
    return np.concatenate(list(exact_outlines(np.split(phases, cuts), micrograph)))


def draw(radius: int, phase: Phase, shape: tuple[int, int] = (500, 500)) -> Grey:
    centre = shape[1] // 2, shape[0] // 2
    return np.asarray(cv2.circle(np.zeros(shape, np.uint8), centre, radius, int(phase), -1))


def paint(pores: Grey) -> Grey:
    """Return a plain grey with blurred dark pores, and noise."""
    grey = cv2.GaussianBlur(np.where(pores == Phase.PORE, 40.0, 150.0), (0, 0), 1)
    noise = np.random.default_rng(0).normal(0, 2, grey.shape)
    return np.clip(np.rint(grey + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("nm", [5.0, 10.0])
def test_silt_gets_its_rim_back(nm: float) -> None:
    labels = draw(round(1800 / nm), Phase.SILT, (1000, 1000))
    found = move(labels, paint(np.zeros_like(labels)), nm)
    radius = np.sqrt((found == Phase.SILT).sum() / np.pi) * nm
    assert radius == pytest.approx(1800 + 145, abs=nm)


@pytest.mark.parametrize(("ecd_nm", "stays"), [(1950, False), (2050, True)])
def test_a_grain_is_judged_with_its_rim(ecd_nm: float, stays: bool) -> None:
    labels = draw(round((ecd_nm / 2 - 145) / 5), Phase.SILT)
    assert (move(labels, paint(np.zeros_like(labels)), 5.0) == Phase.SILT).any() == stays


def test_threads_of_silt_go_and_thick_grains_keep_their_shape() -> None:
    labels = draw(180, Phase.SILT, (700, 700))
    labels[340:350, :] = Phase.SILT  # 100 nm across
    found = move(labels, paint(np.zeros_like(labels))) == Phase.SILT
    assert not found[345, :100].any()
    grown = draw(194, Phase.SILT, (700, 700)) == Phase.SILT
    assert (found & grown).sum() / (found | grown).sum() > 0.98


def test_a_pore_grows_as_far_as_it_is_dark() -> None:
    visible = draw(30, Phase.PORE)
    grey = paint(visible)
    exact = visible == Phase.PORE
    for drawn, expected in ((29, exact), (31, draw(31, Phase.PORE) == Phase.PORE)):
        found = move(draw(drawn, Phase.PORE), grey) == Phase.PORE
        assert np.abs(found.sum() - expected.sum()) < 0.03 * exact.sum()
    far = move(draw(20, Phase.PORE), grey) == Phase.PORE  # 10 nm, and no more
    assert far.sum() == pytest.approx(np.pi * 21**2, rel=0.05)


def test_pores_lie_on_silt_and_void_stays() -> None:
    labels = draw(180, Phase.SILT)
    labels[240:260, 240:260] = Phase.PORE
    labels[:, :90] = Phase.VOID
    found = move(labels, paint(np.where(labels == Phase.PORE, labels, 0).astype(np.uint8)))
    assert (found[240:260, 240:260] == Phase.PORE).all()
    assert np.array_equal(found == Phase.VOID, labels == Phase.VOID)


@pytest.mark.parametrize("nm", [25.0, 60.0])
def test_coarse_pixels_leave_the_pores(nm: float) -> None:
    labels = draw(30, Phase.PORE)
    assert np.array_equal(move(labels, paint(draw(32, Phase.PORE)), nm), labels)


@settings(deadline=None, max_examples=8)
@given(st.lists(st.integers(1, 699), max_size=12))
def test_bands_give_what_one_piece_gives(cuts: list[int]) -> None:
    made = make_phantom(3, (700, 800))
    labels = label_phases(
        Micrograph.from_array("made", made.grey, made.pixel_size), WorkflowRecipe()
    )
    bands = move(labels, made.grey, cuts=tuple(sorted(set(cuts))))
    assert np.array_equal(bands, move(labels, made.grey))


def test_nothing_and_no_pixel_size() -> None:
    grey = np.zeros((4, 0), np.uint8)
    micrograph = Micrograph.from_array("made", grey, PixelSize(10, "test"))
    assert list(exact_outlines([], micrograph)) == []
    with pytest.raises(ValueError, match="pixel size"):
        exact_outlines([], Micrograph.from_array("made", grey))


def test_labels_of_phantoms_come_nearer_to_the_truth() -> None:
    errors = []
    for seed in (20, 21, 22):
        made = make_phantom(seed, (1000, 1200))
        level = 150 - 0.33 * 100  # grey of a pore's bright floor, see PhantomSpec
        labels = label_like_workflow(made.phases, made.grey, 10.0, pore_level=level)
        for phases in (labels, move(labels, made.grey)):
            errors.append([np.mean(phases == p) - np.mean(made.phases == p) for p in (1, 2)])
    before, after = np.abs(errors[::2]).mean(axis=0), np.abs(errors[1::2]).mean(axis=0)
    assert (after < 0.7 * before).all()
    assert after[1] < 0.015


def test_masks_of_the_workflow_come_within_a_point_of_porosity() -> None:
    for seed in (20, 21, 22):
        made = make_phantom(seed, (1000, 1200))
        micrograph = Micrograph.from_array("made", made.grey, made.pixel_size)
        found = move(label_phases(micrograph, load_recipe("groundtruth")), made.grey)
        assert np.mean(found == Phase.PORE) == pytest.approx(made.facts["porosity"], abs=0.012)
