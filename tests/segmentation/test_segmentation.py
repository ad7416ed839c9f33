from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mudrock_cli import segmentation
from mudrock_cli.deeplab.dataset import Sample, normalise_samples
from mudrock_cli.deeplab.engine import Engine
from mudrock_cli.deeplab.model import TrainedModel, list_models, load_model
from mudrock_cli.deeplab.recipe import DataRecipe, InferenceRecipe, Recipe
from mudrock_cli.errors import MudrockError, UsageError
from mudrock_cli.image.micrograph import Micrograph, open_micrograph
from mudrock_cli.image.types import Box, Phase, PixelSize
from mudrock_cli.segmentation import Prior, SegmentedBand, open_engine, plan_tiling, segment_bands

Grey = npt.NDArray[np.uint8]


def plan(nm: float = 10.0, overlap: int = 16) -> Recipe:
    """Return the recipe of a model for `nm`, with tiles of 64."""
    inference = InferenceRecipe(tile=64, overlap=overlap)
    return Recipe(data=DataRecipe(nm_per_pixel=nm), inference=inference)


RECIPE = plan()


class FakeEngine(Engine):
    """Answers by a function of the grey level, or of where in the tile a pixel lies."""

    def __init__(self, answer: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]):
        super().__init__("fake", 64, 5, "the fake network")
        self.answer = answer
        self.calls = 0

    def _run(self, tiles: Grey) -> npt.NDArray[np.float32]:
        assert tiles.shape[1:] == (self.tile, self.tile)
        assert len(tiles) <= self.batch
        self.calls += len(tiles)
        return self.answer(tiles.astype(float)).astype(np.float32)


def by_grey(tiles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probability of silt grows with grey, of pore falls: linear, so that blending keeps it."""
    silt = tiles / 255 * 0.9
    pore = (1 - tiles / 255) * 0.9
    return np.stack([1 - silt - pore, silt, pore], axis=-1)


def segment(
    micrograph: Micrograph,
    engine: Engine,
    recipe: Recipe = RECIPE,
) -> SegmentedBand:
    """Put the bands together; they must be every row once, in order."""
    bands = list(segment_bands(micrograph, recipe, lambda: engine))
    edges = [0, *(band.rows.stop for band in bands)]
    assert [band.rows.start for band in bands] == edges[:-1]
    assert edges[-1] == micrograph.shape[0]
    phases = np.concatenate([band.phases for band in bands])
    confidence = np.concatenate([band.confidence for band in bands])
    assert phases.shape == confidence.shape == micrograph.shape
    whole = slice(0, len(phases))
    return SegmentedBand(whole, phases, confidence, sum(band.entropy for band in bands))


def noise(shape: tuple[int, int], seed: int = 0) -> Grey:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 200), width=st.integers(1, 200), overlap=st.integers(0, 48))
def test_tiling_and_blending_change_nothing(height: int, width: int, overlap: int) -> None:
    grey = noise((height, width))
    found = segment(Micrograph.from_array("x", grey), FakeEngine(by_grey), plan(overlap=overlap))
    probabilities = by_grey(grey.astype(float))
    assert np.array_equal(found.phases, probabilities.argmax(axis=-1))
    assert np.abs(found.confidence - 255 * probabilities.max(axis=-1)).max() <= 0.51


def test_a_normalised_network_is_shown_what_it_was_trained_on_whatever_the_contrast() -> None:
    grey = np.random.default_rng(0).normal(120, 30, (150, 130)).clip(40, 200).astype(np.uint8)
    recipe = replace(RECIPE, data=replace(RECIPE.data, normalise=True))
    sample = Sample("x", "x", grey, np.zeros_like(grey))
    (trained_on,) = normalise_samples([sample], recipe.data)
    expected = by_grey(trained_on.grey.astype(float)).argmax(axis=-1)
    for gain, offset in [(1, 0), (0.5, 10), (1.2, 15)]:
        seen = np.rint(gain * grey + offset).astype(np.uint8)
        found = segment(Micrograph.from_array("x", seen), FakeEngine(by_grey), recipe)
        assert (found.phases != expected).mean() < 0.015  # rounding next to a threshold
    assert (
        segment(Micrograph.from_array("x", seen), FakeEngine(by_grey)).phases != expected
    ).mean() > 0.05


def test_entropy_is_0_for_certainty_and_1_for_none() -> None:
    micrograph = Micrograph.from_array("x", noise((100, 70)))

    def nothing_known(tiles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.full((*tiles.shape, 3), 1 / 3)

    def certain(tiles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.broadcast_to([0.0, 0.0, 1.0], (*tiles.shape, 3))

    assert segment(micrograph, FakeEngine(nothing_known)).entropy == pytest.approx(7000, rel=1e-5)
    found = segment(micrograph, FakeEngine(certain))
    assert found.entropy == pytest.approx(0, abs=0.1)
    assert (found.phases == Phase.PORE).all()
    assert (found.confidence == 255).all()


def test_outside_the_specimen_all_is_void_and_unread() -> None:
    grey = noise((150, 120))
    box = Box(10, 5, 130, 117)

    def read(rows: slice, columns: slice) -> Grey:
        assert box.top <= rows.start
        assert rows.stop <= box.bottom
        assert box.left <= columns.start
        assert columns.stop <= box.right
        return grey[rows, columns]

    micrograph = Micrograph("x", None, grey.shape, read, box)
    found = segment(micrograph, FakeEngine(by_grey))
    outside = np.ones(grey.shape, bool)
    outside[box.rows, box.columns] = False
    assert (found.phases[outside] == Phase.VOID).all()
    assert (found.confidence[outside] == 0).all()
    expected = by_grey(grey.astype(float)).argmax(axis=-1)
    assert np.array_equal(found.phases[~outside], expected[~outside])


@settings(max_examples=25, deadline=None)
@given(height=st.integers(16, 300), width=st.integers(16, 300), nm=st.floats(1.5, 60, width=32))
def test_any_pixel_size_comes_back_on_the_images_own_grid(
    height: int, width: int, nm: float
) -> None:
    ramp = np.linspace(0, 255, width)[None, :].repeat(height, 0).astype(np.uint8)
    micrograph = Micrograph.from_array("x", ramp, PixelSize(nm, "test"))
    found = segment(micrograph, FakeEngine(by_grey))
    # Grey crosses the middle once, and so must the phases, at that place.
    silt = found.phases == Phase.SILT
    assert (silt != silt[0]).any(axis=0).sum() <= 1  # where both are equally likely
    edge = width - silt[0].sum()
    tolerance = 1 + 10 / nm if nm < 10 else 2
    assert abs(edge - width / 2) <= tolerance
    assert (np.diff(silt[0].astype(int)) >= 0).all()


def test_a_coarse_image_is_resampled_like_the_whole_in_one_piece() -> None:
    from mudrock_cli.image.resample import resample

    grey = noise((90, 70))
    micrograph = Micrograph.from_array("x", grey, PixelSize(17.0, "test"))
    found = segment(micrograph, FakeEngine(by_grey))
    grid = (153, 119)
    fine = resample(lambda r, c: grey[r, c], (90, 70), grid)(slice(None), slice(None))
    probabilities = by_grey(fine.astype(float)).astype(np.float32)
    back = resample(lambda r, c: probabilities[r, c], grid, (90, 70))(slice(None), slice(None))
    assert np.mean(found.phases == back.argmax(axis=-1)) > 0.999
    assert np.abs(found.confidence - 255 * back.max(axis=-1)).max() < 1


def test_progress_counts_every_tile() -> None:
    seen: list[tuple[int, int]] = []
    micrograph = Micrograph.from_array("x", noise((200, 200)))
    engine = FakeEngine(by_grey)
    for _ in segment_bands(
        micrograph, RECIPE, lambda: engine, advance=lambda done, total: seen.append((done, total))
    ):
        pass
    assert seen[-1] == (engine.calls, engine.calls)
    assert seen == sorted(seen)


def test_progress_begins_with_the_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    micrograph = Micrograph.from_array("x", noise((300, 200)), PixelSize(8.0, "test"))
    recipe = replace(RECIPE, inference=replace(RECIPE.inference, workflow=(3.0, 3.0, 3.0, 4.0)))
    for _ in segment_bands(
        micrograph,
        recipe,
        lambda: FakeEngine(by_grey),
        advance=lambda done, total: seen.append((done, total)),
    ):
        pass
    assert seen == sorted(seen)
    assert {total for _, total in seen} == {1000}
    assert any(done <= 300 for done, _ in seen)
    assert seen[-1] == (1000, 1000)


def test_memory_holds_bands_and_not_the_image() -> None:
    read: list[int] = []

    def read_window(rows: slice, columns: slice) -> Grey:
        read.append((rows.stop - rows.start) * (columns.stop - columns.start))
        return np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)

    shape = (3000, 200)
    micrograph = Micrograph("x", None, shape, read_window, Box.whole(shape))
    for band in segment_bands(micrograph, RECIPE, lambda: FakeEngine(by_grey)):
        assert band.phases.shape[0] <= 2 * 64
    assert max(read) <= 64 * 200


def test_numbers_that_are_no_probabilities_are_an_error() -> None:
    engine = FakeEngine(lambda tiles: np.full((*tiles.shape, 3), np.nan))
    with pytest.raises(MudrockError, match="the fake network: gives probabilities that are not"):
        segment(Micrograph.from_array("x", noise((70, 70))), engine)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(150, 700),
    nm=st.sampled_from([10.0, 6.3, 7.5, 13.0, 21.0]),
    overlap=st.integers(0, 48),
    count=st.integers(2, 6),
)
def test_parts_give_bit_for_bit_what_one_piece_gives(
    height: int, nm: float, overlap: int, count: int
) -> None:
    def by_place(tiles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Depends on the grey and on the place in the tile, as a network's answers do."""
        place = np.arange(64 * 64).reshape(64, 64) % 97 / 97
        answer = by_grey(tiles) + place[..., None] * [0.3, 0.1, 0.2]
        return np.asarray(answer / answer.sum(axis=-1, keepdims=True))

    grey, box = noise((height, 70)), Box(3, 2, height - 5, 69)
    micrograph = Micrograph.from_array("x", grey, PixelSize(nm, "test"), box)
    recipe = plan(overlap=overlap)
    cut = plan_tiling(micrograph, recipe).divide(count)
    assert (cut[0].start, cut[-1].stop) == (0, box.height)
    assert [part.start for part in cut[1:]] == [part.stop for part in cut[:-1]]

    def run(parts: int) -> list[SegmentedBand]:
        return list(segment_bands(micrograph, recipe, lambda: FakeEngine(by_place), parts=parts))

    for one, other in zip(run(count), run(1), strict=True):
        assert (one.rows, one.entropy) == (other.rows, other.entropy)
        np.testing.assert_array_equal(one.phases, other.phases)
        np.testing.assert_array_equal(one.confidence, other.confidence)


@pytest.mark.parametrize("kept", [True, False])
def test_parts_get_their_rows_of_the_prior(kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, box = np.random.default_rng(5), Box(7, 4, 590, 100)
    micrograph = Micrograph.from_array("x", noise((600, 110)), PixelSize(8.0, "test"), box)
    found = rng.integers(0, 3, box.shape).astype(np.uint8)
    factors = segmentation.weigh_evidence((0.5, 1.0, 1.0, 2.0))

    def find_prior(*_: object) -> Prior:
        return Prior(iter([found[:100], found[100:]]), factors)

    monkeypatch.setattr(segmentation, "find_prior", find_prior)

    def start() -> Engine:
        return FakeEngine(by_grey)

    surer = list(segment_bands(micrograph, RECIPE, start))
    whole = list(segment_bands(micrograph, RECIPE, start, confidence_temperature=1.5))
    for one, other in zip(whole[1:-1], surer[1:-1], strict=True):
        np.testing.assert_array_equal(one.phases, other.phases)
        assert one.entropy == other.entropy
        assert one.confidence.mean() < other.confidence.mean() - 5
    alone = by_grey(micrograph.grey().astype(float)).argmax(axis=-1)
    assert any((band.phases != alone[band.rows]).any() for band in whole[1:-1])
    seen: list[tuple[int, int]] = []
    spread = list(
        segment_bands(
            micrograph,
            RECIPE,
            start,
            confidence_temperature=1.5,
            parts=3,
            confidence=kept,
            advance=lambda done, total: seen.append((done, total)),
        )
    )
    assert len(seen) == 2
    assert seen[-1] == (1000, 1000)  # thousandths of all, of which the prior is the first part
    assert 300 < seen[0][0] < 1000
    for one, other in zip(spread, whole, strict=True):
        assert (one.rows, one.entropy) == (other.rows, other.entropy)
        np.testing.assert_array_equal(one.phases, other.phases)
        np.testing.assert_array_equal(one.confidence, other.confidence * kept)


def test_a_batch_starts_the_network_once_and_another_model_is_refused(
    tiny_model: TrainedModel,
) -> None:
    words = (str(tiny_model.path.absolute()), tiny_model.digest, "openvino")
    assert segmentation.share_engine(*words) is segmentation.share_engine(*words)
    with pytest.raises(UsageError, match="another model than where the command runs"):
        segmentation.share_engine(words[0], "0" * 64, "openvino")


@pytest.mark.network
@pytest.mark.parametrize(("gain", "offset"), [(0.3, 90), (1.3, -30)])
def test_contrast_does_not_change_what_the_shipped_network_sees(gain: float, offset: int) -> None:
    if not list_models():
        pytest.skip("no model ships yet")
    model = load_model()
    recipe = replace(model.recipe, inference=replace(model.recipe.inference, workflow=(0.0,) * 4))
    micrograph = open_micrograph(Path(__file__).parents[2] / "examples" / "bedded.tif")
    grey = micrograph.read(slice(200, 570), slice(300, 670))
    engine = open_engine(model)
    masks = [
        segment(Micrograph.from_array("x", seen.astype(np.uint8)), engine, recipe).phases
        for seen in (grey, np.clip(np.rint(gain * grey + offset), 0, 255))
    ]
    assert (masks[0] == masks[1]).mean() > 0.985
