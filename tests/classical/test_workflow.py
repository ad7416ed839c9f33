from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from phantom import Phantom, make_phantom

from mudrock_cli.classical.recipe import WorkflowRecipe, load_recipe, vary_thresholds
from mudrock_cli.classical.workflow import Workflow, label_phases
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.types import Box, Phase, PixelSize

Grey = npt.NDArray[np.uint8]
RECIPE = WorkflowRecipe()


def wrap(grey: Grey, pixel_nm: float = 10.0, specimen: Box | None = None) -> Micrograph:
    return Micrograph.from_array("made", grey, PixelSize(pixel_nm, "test"), specimen)


def label(grey: Grey, pixel_nm: float = 10.0, recipe: WorkflowRecipe = RECIPE) -> Grey:
    return label_phases(wrap(grey, pixel_nm), recipe)


def paint_scene(scale: float = 1.0, noise: float = 3.0) -> tuple[Grey, Grey]:
    """Return a micrograph and its phases: pores of several sizes in clay, one large grain.

    The matrix is crossed by grooves, so that it is no smooth solid; `scale` 1 is 10 nm per pixel.
    """
    supersampling = 4
    size = int(600 * scale) * supersampling
    unit = scale * supersampling
    rng = np.random.default_rng(5)
    grey = np.full((size, size), 150, np.uint8)
    phases = np.zeros((size, size), np.uint8)
    for x, y in rng.uniform(0, 600, (900, 2)):
        turn = rng.uniform(0, np.pi)
        ends = np.array([[-1, -1], [1, 1]]) * 22 * np.array([np.cos(turn), np.sin(turn)])
        first, last = ((np.array([x, y]) + end) * unit for end in ends)
        cv2.line(grey, first.astype(int), last.astype(int), 130, max(1, int(4 * unit)))
    for x, y, radius in [(90, 90, 40), (450, 80, 20), (520, 500, 26), (80, 480, 14), (70, 300, 9)]:
        centre = (int(x * unit), int(y * unit))
        cv2.circle(grey, centre, int(radius * unit), 30, -1)
        cv2.circle(phases, centre, int(radius * unit), int(Phase.PORE), -1)
    centre = (int(300 * unit), int(300 * unit))
    cv2.circle(grey, centre, int(150 * unit), 140, -1)
    cv2.circle(phases, centre, int(150 * unit), int(Phase.SILT), -1)
    shape = (size // supersampling, size // supersampling)
    seen = cv2.resize(grey, shape, interpolation=cv2.INTER_AREA).astype(float)
    seen = cv2.GaussianBlur(seen, (0, 0), scale) + noise * rng.normal(size=shape)
    return np.clip(np.rint(seen), 0, 255).astype(np.uint8), cv2.resize(
        phases, shape, interpolation=cv2.INTER_NEAREST
    )


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(3, (700, 600))


def test_a_scene_of_known_phases_comes_out() -> None:
    grey, truth = paint_scene()
    found = label(grey)
    for phase, error in ((Phase.PORE, 0.01), (Phase.SILT, 0.05)):
        # a grain leaves a rim of 130 nm to the clay
        rim = 13 if phase == Phase.SILT else 0
        expected = np.mean(truth == phase) * (1 - rim / 150) ** 2
        assert np.mean(found == phase) == pytest.approx(expected, abs=error)
    assert (truth[found == Phase.SILT] == Phase.SILT).mean() > 0.97
    centres = [(90, 90), (80, 450), (500, 520), (480, 80), (300, 70)]
    assert all(found[place] == Phase.PORE for place in centres)


def test_lengths_are_physical_not_pixels() -> None:
    fractions = []
    for scale in (1.0, 0.5, 2.0):
        found = label(paint_scene(scale)[0], 10.0 / scale)
        fractions.append([np.mean(found == phase) for phase in (Phase.PORE, Phase.SILT)])
    assert np.ptp(fractions, axis=0)[0] < 0.012
    assert np.ptp(fractions, axis=0)[1] < 0.04


@pytest.mark.parametrize(("pixels", "nm"), [(30_000, 10.0), (90_000, 10.0), (90_000, 17.0)])
def test_bands_give_the_mask_of_one_piece(phantom: Phantom, pixels: int, nm: float) -> None:
    box = Box(0, 0, 651, 597)  # no multiple of any scale
    micrograph = wrap(phantom.grey, nm, box)
    recipe = replace(RECIPE, silt=replace(RECIPE.silt, min_ecd_nm=900.0))
    masks = []
    for band_pixels in (1 << 24, pixels):
        workflow = Workflow(micrograph, recipe, band_pixels)
        (candidates,) = workflow.find_candidates()
        masks.append(np.concatenate(list(workflow.choose_phases(candidates, recipe))))
    assert len(workflow.bands) >= 5
    assert masks[0].shape == box.shape
    assert set(np.unique(masks[0])) == {Phase.CLAY, Phase.SILT, Phase.PORE}
    assert np.array_equal(*masks)


def test_offset_and_gain_do_not_matter(phantom: Phantom) -> None:
    first = label(phantom.grey)
    for gain, offset in ((0.6, 0), (0.7, 60), (1.0, 40)):
        other = np.clip(np.rint(phantom.grey * gain + offset), 0, 255).astype(np.uint8)
        assert np.mean(label(other) != first) < 0.01


def test_uneven_light_is_followed(phantom: Phantom) -> None:
    light = np.linspace(0.7, 1.1, phantom.grey.shape[1])
    other = np.clip(np.rint(phantom.grey * light), 0, 255).astype(np.uint8)
    first, second = label(phantom.grey), label(other)
    assert abs(np.mean(first == Phase.PORE) - np.mean(second == Phase.PORE)) < 0.005
    plain = load_recipe("threshold")
    first, second = (label(grey, recipe=plain) for grey in (phantom.grey, other))
    assert abs(np.mean(first == Phase.PORE) - np.mean(second == Phase.PORE)) > 0.01


def test_small_grains_are_clay() -> None:
    grey, _ = paint_scene()
    grey[120:480, 120:480] = np.roll(grey, 240, axis=(0, 1))[120:480, 120:480]
    rows, columns = np.mgrid[:600, :600]
    large = np.hypot(rows - 300, columns - 300) <= 112
    small = np.hypot(rows - 110, columns - 480) <= 80
    grey[large | small] = 140 + grey[large | small] % 5
    found = label(grey)
    assert found[300, 300] == Phase.SILT
    assert found[110, 480] == Phase.CLAY


def test_noise_alone_makes_neither_pores_nor_cracks() -> None:
    rng = np.random.default_rng(0)
    for deviation in (2.0, 8.0, 15.0):
        grey = np.clip(150 + deviation * rng.normal(size=(300, 300)), 0, 255).astype(np.uint8)
        found = label(grey)
        assert np.mean(found == Phase.PORE) < 1e-3
        assert np.mean(found == Phase.SILT) > 0.95  # one smooth grain of 3 µm


def test_noise_does_not_turn_clay_into_silt() -> None:
    shares = [np.mean(label(paint_scene(noise=noise)[0]) == Phase.SILT) for noise in (3.0, 9.0)]
    assert shares[1] == pytest.approx(shares[0], abs=0.03)


@pytest.mark.parametrize("nm", [10.0, 40.0])
def test_noise_is_measured_and_texture_is_none(phantom: Phantom, nm: float) -> None:
    size = (int(6000 / nm), int(7000 / nm))
    grey = cv2.resize(phantom.grey, size, interpolation=cv2.INTER_AREA).astype(float)
    found = []
    for noise in (0.0, 8.0):
        noisy = grey + np.random.default_rng(0).normal(0, noise, grey.shape)
        levels = Workflow(wrap(np.clip(noisy, 0, 255).astype(np.uint8), nm), RECIPE).statistics
        found.append(levels.noise * (levels.solid - levels.black))
    smoothing = min(1.25 * nm / 50, 1)  # of a median 50 nm wide
    assert found[0] < 0.6  # grey levels are whole
    assert found[1] == pytest.approx(8 * smoothing, rel=0.2)


def test_coarser_pixels_are_enlarged_and_finer_ones_left(phantom: Phantom) -> None:
    box = Box(5, 7, 305, 407)
    coarse = Workflow(wrap(phantom.grey, 30.0, box), RECIPE)
    assert coarse.pixel_nm == RECIPE.contrast.nm_per_pixel
    assert coarse.micrograph.specimen == Box.whole((750, 1000))
    left = replace(RECIPE, contrast=replace(RECIPE.contrast, nm_per_pixel=0.0))
    for nm, recipe in ((10.0, RECIPE), (30.0, left), (46.0, RECIPE)):  # the last show no pores
        micrograph = wrap(phantom.grey, nm, box)
        assert Workflow(micrograph, recipe).micrograph is micrograph


def test_enlarged_pixels_show_the_pores_of_finer_ones(phantom: Phantom) -> None:
    coarse = cv2.resize(phantom.grey, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)
    left = replace(RECIPE, contrast=replace(RECIPE.contrast, nm_per_pixel=0.0))
    pores = label(phantom.grey) == Phase.PORE
    scores = []
    for recipe in (RECIPE, left):
        found = label(np.asarray(coarse, np.uint8), 25.0, recipe) == Phase.PORE
        fine = cv2.resize(found.astype(np.uint8), pores.shape[::-1], interpolation=0) > 0
        scores.append((fine & pores).sum() / (fine | pores).sum())
    assert scores[0] > scores[1] + 0.05


def test_a_pit_in_a_grain_belongs_to_it_and_its_pore_stays() -> None:
    grey = np.full((400, 400), 140, np.uint8)
    cv2.circle(grey, (200, 200), 12, 20, -1)
    grey = cv2.GaussianBlur(grey, (0, 0), 1)
    grey[:30] = np.where(np.arange(400) % 7 < 2, 60, 140)
    found = label(
        np.clip(grey + np.random.default_rng(1).normal(0, 2, grey.shape), 0, 255).astype(np.uint8)
    )
    assert found[200, 200] == Phase.PORE
    assert found[200, 216] == Phase.SILT  # within the rim, were the pit an edge
    solid = replace(RECIPE, silt=replace(RECIPE.silt, hole_nm=0.0))
    assert label(grey, recipe=solid)[200, 216] == Phase.CLAY


def test_outside_the_specimen_is_void(phantom: Phantom) -> None:
    box = Box(10, 20, 600, 580)
    found = label_phases(wrap(phantom.grey, specimen=box), RECIPE)
    inner = label(phantom.grey[box.rows, box.columns])
    assert np.array_equal(found[box.rows, box.columns], inner)
    assert np.count_nonzero(found == Phase.VOID) == phantom.grey.size - inner.size


@pytest.mark.parametrize("shape", [(16, 16), (17, 300), (300, 17)])
def test_small_images_go_through(shape: tuple[int, int]) -> None:
    grey = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    assert label(grey).shape == shape
    assert label(grey, 135.0).shape == shape
    assert label(grey, 0.7).shape == shape


def test_bands_are_told_from_the_first_measurement_on(phantom: Phantom) -> None:
    told: list[tuple[int, int]] = []
    workflow = Workflow(wrap(phantom.grey), RECIPE, 30_000, advance=lambda *pair: told.append(pair))
    count = len(workflow.bands)
    assert count >= 5
    assert told == [(done, 2 * count) for done in range(1, count + 1)]
    workflow.find_candidates()
    assert told == [(done, 2 * count) for done in range(1, 2 * count + 1)]


def test_one_grey_is_refused() -> None:
    with pytest.raises(MudrockError, match="same grey"):
        label(np.full((50, 50), 130, np.uint8))


def test_lower_thresholds_find_more_pores(phantom: Phantom) -> None:
    workflow = Workflow(wrap(phantom.grey), RECIPE)
    recipes = [*vary_thresholds(RECIPE), RECIPE]
    pores = []
    for recipe, candidates in zip(recipes, workflow.find_candidates(recipes), strict=True):
        phases = np.concatenate(list(workflow.choose_phases(candidates, recipe)))
        pores.append(np.mean(phases == Phase.PORE))
    assert pores[0] > pores[2] > pores[1]
    assert pores[2] == np.mean(label(phantom.grey) == Phase.PORE)


def test_the_exact_recipe_finds_the_fractions_of_phantoms() -> None:
    silt = []
    for seed in range(7, 12):
        made = make_phantom(seed, (1000, 1200))
        found = label(made.grey, recipe=load_recipe("exact"))
        assert np.mean(found == Phase.PORE) == pytest.approx(made.facts["porosity"], abs=0.01)
        silt.append(np.mean(found == Phase.SILT) - made.facts["silt_fraction"])
    assert np.mean(silt) == pytest.approx(0, abs=0.01)  # a grain taken or left is a point or two
    assert np.abs(silt).max() < 0.03


def test_the_smoothest_grain_tells_what_is_smooth(phantom: Phantom) -> None:
    grey = phantom.grey.copy()
    grey[100:400, 100:400] = 140 + grey[100:400, 100:400] % 3  # 3 µm wide, hardly rough
    smooth, rough = (Workflow(wrap(each), RECIPE).statistics for each in (grey, phantom.grey))
    assert smooth.texture < 0.6 * smooth.typical
    assert smooth.texture < 0.5 * rough.texture


def test_the_defaults_keep_the_habits_of_the_published_labels(phantom: Phantom) -> None:
    exact = label(phantom.grey, recipe=load_recipe("exact")) == Phase.PORE
    labels = label(phantom.grey) == Phase.PORE
    assert labels.mean() < exact.mean()
