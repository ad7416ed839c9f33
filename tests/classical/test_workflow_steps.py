from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import morphology

from mudrock_cli.classical.filters import Scale, enhance, enlarge, make_disc, reduce, smooth_median
from mudrock_cli.classical.grains import (
    CandidateMasks,
    choose_grains,
    find_pieces,
    join_pieces,
    keep_regions,
    open_solid,
)
from mudrock_cli.classical.image_statistics import MARGIN, Strip
from mudrock_cli.classical.recipe import SiltRecipe
from mudrock_cli.image.tiles import Packed
from mudrock_cli.image.types import Phase

ALONE = (False, False)


def make_grey(shape: tuple[int, int], seed: int = 0) -> npt.NDArray[np.uint8]:
    """Smooth blobs with noise."""
    rng = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(rng.normal(size=shape), 3)
    return np.clip(120 + 250 * blobs + 4 * rng.normal(size=shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("radius", [1, 4, 9])
def test_discs_are_those_of_skimage(radius: int) -> None:
    assert np.array_equal(make_disc(radius), morphology.disk(radius))


@pytest.mark.parametrize(("window", "radius"), [(1, 3), (5, 9)])
def test_one_scale_is_median_bottom_hat_and_top_hat(window: int, radius: int) -> None:
    grey = make_grey((80, 90))
    median = ndimage.median_filter(grey, window, mode="nearest")
    disc = morphology.disk(radius)
    # skimage's hats mirror the image at its border; look at what the border cannot reach
    inner = np.s_[2 * radius : -2 * radius, 2 * radius : -2 * radius]
    bottom = morphology.black_tophat(median, disc).astype(int)[inner]
    top = morphology.white_tophat(median, disc).astype(int)[inner]
    contrast = enhance(grey, [Scale(1, window, radius)], 0.5, 0)
    assert np.array_equal(contrast.levels[inner], bottom - np.rint(top * 0.5).astype(int))
    assert contrast.unit == 1
    assert np.array_equal(contrast.smooth, median)
    assert np.array_equal(contrast.ceiling[inner], (median.astype(int)[inner] + bottom))


def test_scales_merge_as_documented() -> None:
    grey = make_grey((64, 64))
    scales = [Scale(1, 3, 3), Scale(1, 5, 6)]
    fine, coarse = (enhance(grey, [scale], 0, 0) for scale in scales)
    merged = enhance(grey, scales, 0, 0)
    closing = (fine.ceiling.astype(float) + coarse.ceiling) / 2
    smooth = (2 * fine.smooth.astype(float) + coarse.smooth) / 3
    assert merged.levels / merged.unit == pytest.approx(closing - smooth)


def test_without_scales_the_grey_is_compared_with_the_solid() -> None:
    grey = make_grey((20, 20))
    contrast = enhance(grey, [], 0.1, 150)
    assert np.array_equal(contrast.levels, 150 - grey.astype(int))


def test_a_threshold_is_a_share_of_the_way_to_black() -> None:
    grey = np.array([[150, 121, 120, 119, 20]], np.uint8)
    background = np.full_like(grey, 150)
    contrast = enhance(grey, [], 0, 150)
    assert contrast.exceeds(0.3, background, 50.0).tolist() == [[0, 0, 0, 1, 1]]
    assert contrast.lies_below(0.3, background, 50.0).tolist() == [[0, 0, 0, 1, 1]]
    assert contrast.relative(background, 20.0)[0, [0, -1]].tolist() == [0, 255]


@given(st.sampled_from([1, 2, 4, 8]), st.integers(1, 40), st.integers(1, 40))
def test_reduced_and_enlarged_constants_stay(factor: int, height: int, width: int) -> None:
    grey = np.full((height, width), 77, np.uint8)
    small = reduce(grey, factor)
    assert small.shape == (-(-height // factor), -(-width // factor))
    assert np.array_equal(enlarge(small, factor, grey.shape), grey)


def test_medians_take_the_noise_and_leave_the_edge() -> None:
    step = np.repeat(np.array([[50, 200]], np.uint8), 20, axis=1).repeat(20, axis=0)
    salted = step.copy()
    salted[::7, ::7] = 255
    assert np.array_equal(smooth_median(salted, 5), step)


@pytest.mark.parametrize("radius", [3, 8])
def test_opening_is_erosion_and_dilation_by_a_disc(radius: int) -> None:
    solid = (make_grey((120, 130)) > 105).astype(np.uint8)
    expected = morphology.opening(solid, morphology.disk(radius), mode="min")
    inner = np.s_[2 * radius : -2 * radius, 2 * radius : -2 * radius]
    opened = open_solid(solid, 2 * radius, 0, ALONE)
    assert 0 < opened[inner].mean() < solid[inner].mean()
    assert np.array_equal(opened[inner], expected[inner])


def test_a_grain_loses_its_rim_and_a_slit_disappears() -> None:
    rows, columns = np.mgrid[:200, :200]
    disc = np.hypot(rows - 100, columns - 100) <= 60
    slit = np.abs(rows - 20) <= 5
    opened = open_solid((disc | slit).astype(np.uint8), 40, 12, ALONE)
    assert not opened[:35].any()
    area = opened.sum()
    assert 2 * np.sqrt(area / np.pi) == pytest.approx(2 * (60 - 12), abs=1.5)


def test_the_frame_does_not_erode_what_it_cuts() -> None:
    rows, columns = np.mgrid[:100, :100]
    half = (np.hypot(rows - 50, columns) <= 40).astype(np.uint8)
    opened = open_solid(half, 30, 0, (True, True))
    assert opened[50, 0]
    assert np.array_equal(opened[:, 0], half[:, 0])
    whole = np.ones((30, 40), np.uint8)
    assert open_solid(whole, 400, 100, (True, True)).all()
    assert not open_solid(1 - whole, 4, 0, (True, True)).any()


@settings(deadline=None)
@given(
    st.integers(0, 10_000),
    st.floats(0.2, 0.8),
    st.sampled_from([4, 8]),
    st.lists(st.integers(1, 29), max_size=6),
)
def test_regions_in_bands_are_those_of_the_whole(
    seed: int, density: float, connectivity: int, cuts: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    mask = (rng.random((30, 25)) < density).astype(np.uint8)
    marks = (rng.random(mask.shape) < 0.5).astype(np.uint8)
    bands, marked = (np.split(each, sorted(set(cuts))) for each in (mask, marks))
    pairs = zip(bands, marked, strict=True)
    regions = join_pieces([find_pieces(b, connectivity, m) for b, m in pairs], connectivity)

    structure = np.ones((3, 3)) if connectivity == 8 else None
    labels, count = ndimage.label(mask, structure)
    expected = sorted(
        (of.sum(), marks[of].sum(), of[:, [0, -1]].sum(), of[[0, -1]].sum())
        for of in (labels == n for n in range(1, count + 1))
    )
    columns = (regions.areas, regions.marked, regions.at_sides, regions.at_ends)
    found = zip(*(column.tolist() for column in columns), strict=True)
    assert sorted(found) == expected
    kept = zip(bands, regions.keep(regions.areas > 5), strict=True)
    large = np.concatenate([keep_regions(b, keep, connectivity) for b, keep in kept])
    sizes = np.bincount(labels.ravel())
    assert np.array_equal(large, mask & (sizes[labels] > 5))


@settings(deadline=None)
@given(st.integers(1, 41), st.lists(st.integers(1, 40), max_size=4))
def test_roughness_counted_in_strips_is_that_of_the_whole(height: int, cuts: list[int]) -> None:
    grey = make_grey((41, 30))[:height]
    edges = [0, *sorted({cut for cut in cuts if cut < height}), height]
    counts = []
    for top, bottom in pairwise(edges):
        first = max(top - MARGIN, 0)
        strip = Strip(grey[first : bottom + MARGIN], first, slice(top, bottom))
        counts.append(strip.count_roughness())
    whole = Strip(grey, 0, slice(0, height)).count_roughness()
    np.testing.assert_array_equal(np.sum(counts, axis=0), whole)
    assert whole.sum(axis=1).tolist() == [height * 30, height // 2 * 15]


@settings(deadline=None)
@given(st.floats(90, 300), st.floats(-0.4, 1.5), st.integers(0, 3), st.booleans())
def test_a_grain_that_the_frame_cuts_counts_by_its_circle(
    radius: float, depth: float, turns: int, corner: bool
) -> None:
    rows, columns = np.mgrid[:700, :700]
    # Of a circle with its middle further beyond the frame, or beyond a corner, too little is left.
    depth = abs(depth) if corner else depth
    middle = depth * radius if corner else 350
    grain = np.rot90(np.hypot(rows - middle, columns - depth * radius) <= radius, turns)
    packed = Packed.pack(grain.astype(np.uint8), bits=True)
    nothing = Packed.pack(np.zeros(grain.shape, np.uint8), bits=True)
    for share, phase in ((0.92, Phase.SILT), (1.08, Phase.CLAY)):
        silt = SiltRecipe(rim_nm=0, min_ecd_nm=share * 2 * radius)
        (phases,) = choose_grains([CandidateMasks(nothing, packed, nothing)], silt, 1.0)
        assert (phases.unpack()[grain] == phase).all()


@pytest.mark.parametrize("corner", [False, True])
def test_a_sliver_at_the_frame_is_no_large_grain(corner: bool) -> None:
    rows, columns = np.mgrid[:400, :400]
    sliver = rows + columns < 60 if corner else (columns < 20) & (np.abs(rows - 200) < 150)
    packed = Packed.pack(sliver.astype(np.uint8), bits=True)
    nothing = Packed.pack(np.zeros(sliver.shape, np.uint8), bits=True)
    silt = SiltRecipe(rim_nm=0, min_ecd_nm=4.2 * np.sqrt(sliver.sum() / np.pi))
    (phases,) = choose_grains([CandidateMasks(nothing, packed, nothing)], silt, 1.0)
    assert (phases.unpack() == Phase.CLAY).all()
