from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mudrock_cli.deeplab.inference import (
    Opinion,
    SegmentedBand,
    plan_parts,
    plan_views,
    segment_bands,
    segment_part,
    spread_bands,
)
from mudrock_cli.deeplab.recipe import DataRecipe, InferenceRecipe, Recipe
from mudrock_cli.deeplab.weights import Statistics
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.types import Box, Phase, PixelSize

Grey = npt.NDArray[np.uint8]


def plan(
    nm: float = 10.0, overlap: int = 16, flips: int = 1, zooms: tuple[float, ...] = (1.0,)
) -> Recipe:
    """Return the recipe of a model for `nm`, with tiles of 64."""
    inference = InferenceRecipe(tile=64, overlap=overlap, flips=flips, zooms=zooms)
    return Recipe(data=DataRecipe(nm_per_pixel=nm), inference=inference)


RECIPE = plan()
UNDIVIDED = np.eye(3, dtype=np.float32)


class FakeEngine:
    """Answers by a function of the grey level, or of where in the tile a pixel lies."""

    name = "fake"
    tile = 64
    batch = 5

    def __init__(self, answer: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]):
        self.answer = answer
        self.calls = 0
        self.statistics: Statistics = {}

    def look(self, batches: npt.NDArray[np.float32]) -> Statistics:
        raise AssertionError("its recipe wants no adaptation")

    def adapt(self, statistics: Statistics) -> "FakeEngine":
        raise AssertionError("its recipe wants no adaptation")

    def predict(self, tiles: Grey) -> npt.NDArray[np.float32]:
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
    engine: FakeEngine,
    recipe: Recipe = RECIPE,
) -> SegmentedBand:
    """Put the bands together; they must be every row once, in order."""
    bands = list(segment_bands(micrograph, engine, recipe))
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
    assert (silt == silt[0]).all()
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


def test_mirrored_views_are_averaged_in_place() -> None:
    def by_place(tiles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Mark the upper left quarter of each tile as silt; the rest is pore."""
        answer = np.broadcast_to([0.0, 0.0, 1.0], (*tiles.shape, 3)).copy()
        answer[:, :32, :32] = [0.0, 1.0, 0.0]
        return answer

    micrograph = Micrograph.from_array("x", noise((64, 64)))
    for flips, share in ((1, {0, 1}), (2, {0, 0.5}), (4, {0.25})):
        engine = FakeEngine(by_place)
        bands = list(segment_bands(micrograph, engine, plan(overlap=0, flips=flips)))
        assert engine.calls == flips
        highest = {max(s, 1 - s) for s in share}
        found = np.unique(np.concatenate([band.confidence for band in bands]))
        assert set(found) == {round(255 * value) for value in highest}


def test_zooms_are_averaged_on_the_pixels_of_the_micrograph() -> None:
    micrograph = Micrograph.from_array("x", noise((130, 90)), PixelSize(10.0, "test"))

    def shares(zooms: tuple[float, ...]) -> npt.NDArray[np.float32]:
        seen: list[npt.NDArray[np.float32]] = []

        class Watch(Opinion):
            def weigh(self, probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
                seen.append(probabilities.copy())
                return probabilities

        opinion = Watch(iter([]), UNDIVIDED, (0.0,) * 4)
        list(segment_bands(micrograph, FakeEngine(by_grey), plan(zooms=zooms), opinion=opinion))
        return np.concatenate(seen)

    alone = [shares((zoom,)) for zoom in (1.0, 0.6, 1.5)]
    assert np.abs(alone[0] - alone[1]).mean() > 0.05  # half of the noise is gone at 0.6
    np.testing.assert_allclose(shares((1.0, 0.6, 1.5)), np.mean(alone, axis=0), atol=1e-6)


@pytest.mark.parametrize("shape", [(64, 50), (65, 50)])
def test_a_field_that_a_tile_covers_is_seen_in_close_ups(shape: tuple[int, int]) -> None:
    micrograph = Micrograph.from_array("x", noise(shape), PixelSize(10.0, "test"))
    inference = replace(RECIPE.inference, close_ups=(1.0, 2.0))
    views = plan_views(micrograph, 64, replace(RECIPE, inference=inference))
    rows, columns = shape
    expected = [shape, (2 * rows, 2 * columns)] if rows <= 64 else [shape]
    assert [view.grid for view in views] == expected


def test_progress_counts_every_tile() -> None:
    seen: list[tuple[int, int]] = []
    micrograph = Micrograph.from_array("x", noise((200, 200)))
    engine = FakeEngine(by_grey)
    for _ in segment_bands(
        micrograph, engine, plan(zooms=(1.0, 0.5)), lambda done, total: seen.append((done, total))
    ):
        pass
    assert seen[-1] == (engine.calls, engine.calls)
    assert seen == sorted(seen)


def test_memory_holds_bands_and_not_the_image() -> None:
    read: list[int] = []

    def read_window(rows: slice, columns: slice) -> Grey:
        read.append((rows.stop - rows.start) * (columns.stop - columns.start))
        return np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)

    shape = (3000, 200)
    micrograph = Micrograph("x", None, shape, read_window, Box.whole(shape))
    for band in segment_bands(micrograph, FakeEngine(by_grey), RECIPE):
        assert band.phases.shape[0] <= 2 * 64
    assert max(read) <= 64 * 200


def test_numbers_that_are_no_probabilities_are_an_error() -> None:
    engine = FakeEngine(lambda tiles: np.full((*tiles.shape, 3), np.nan))
    with pytest.raises(MudrockError, match="the network gave numbers"):
        segment(Micrograph.from_array("x", noise((70, 70))), engine)


def test_an_opinion_is_weighed_row_by_row_whatever_its_bands() -> None:
    rng = np.random.default_rng(3)
    phases = rng.integers(0, 3, (11, 4)).astype(np.uint8)
    shares = rng.dirichlet((1, 1, 1), (11, 4)).astype(np.float32)
    opinion = Opinion(iter([phases[:5], phases[5:6], phases[6:]]), UNDIVIDED, (5.0, 4.0, 1.0, 2.0))
    found = np.concatenate([opinion.weigh(shares[:2]), opinion.weigh(shares[2:])])
    shift = np.array([[1, -4, 0], [-3, 1, 0], [0, 0, 2]])  # of what is there (column)
    logits = np.log(shares) + shift[phases]
    expected = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    assert found == pytest.approx(expected, rel=1e-5)


def test_an_opinion_without_silt_tells_pore_from_no_pore() -> None:
    shares = np.random.default_rng(3).dirichlet((1, 1, 1), (1, 3)).astype(np.float32)
    said = np.array([[Phase.CLAY, Phase.SILT, Phase.PORE]], np.uint8)
    opinion = Opinion(iter([said]), UNDIVIDED, (3.0, 5.0, 1.0, 2.0), tells_silt=False)
    logits = np.log(shares) + np.array([[1, 1, 0], [1, 1, 0], [0, 0, 2]])
    expected = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    assert opinion.weigh(shares) == pytest.approx(expected, rel=1e-5)


def test_a_divided_vote_counts_by_its_shares() -> None:
    shares = np.array([[[0.5, 0.4, 0.1]]], np.float32)
    divided = np.array([[0.25, 0.75, 0.0]], np.float32)
    opinion = Opinion(iter([np.zeros((1, 1), np.uint8)]), divided, (1.0, 2.0, 0.5, 3.0))
    weighed = opinion.weigh(shares)
    expected = np.array([0.5 * np.exp(0.5 - 1.5), 0.4 * np.exp(0.5 - 0.25), 0.1])
    assert weighed[0, 0] == pytest.approx(expected / expected.sum(), rel=1e-6)


def test_an_opinion_can_overrule_a_doubtful_network_only() -> None:
    shares = np.array([[[0.5, 0.4, 0.1], [0.99, 0.005, 0.005]]], np.float32)
    silt = np.full((1, 2), Phase.SILT, np.uint8)
    weighed = Opinion(iter([silt]), UNDIVIDED, (0.0, 1.0, 0.0, 0.0)).weigh(shares)
    assert weighed.argmax(axis=2).tolist() == [[Phase.SILT, Phase.CLAY]]


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(150, 700),
    nm=st.sampled_from([10.0, 6.3, 7.5, 13.0, 21.0]),
    overlap=st.integers(0, 48),
    count=st.integers(1, 6),
    zooms=st.sampled_from([(1.0,), (0.8, 1.0), (1.0, 1.3, 0.6)]),
)
def test_parts_give_bit_for_bit_what_one_piece_gives(
    height: int, nm: float, overlap: int, count: int, zooms: tuple[float, ...]
) -> None:
    def by_place(tiles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Depends on the grey and on the place in the tile, as a network's answers do."""
        place = np.arange(64 * 64).reshape(64, 64) % 97 / 97
        answer = by_grey(tiles) + place[..., None] * [0.3, 0.1, 0.2]
        return np.asarray(answer / answer.sum(axis=-1, keepdims=True))

    grey, box = noise((height, 70)), Box(3, 2, height - 5, 69)
    micrograph = Micrograph.from_array("x", grey, PixelSize(nm, "test"), box)
    recipe = plan(overlap=overlap, zooms=zooms)
    engine = FakeEngine(by_place)
    whole = list(segment_part(micrograph, engine, recipe, slice(0, box.height)))
    parts = plan_parts(plan_views(micrograph, 64, recipe)[0], count)
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
    pieces = [band for part in parts for band in segment_part(micrograph, engine, recipe, part)]
    assert [band.rows for band in pieces] == [band.rows for band in whole]
    assert [band.entropy for band in pieces] == [band.entropy for band in whole]
    for one, other in zip(pieces, whole, strict=True):
        np.testing.assert_array_equal(one.phases, other.phases)
        np.testing.assert_array_equal(one.confidence, other.confidence)


@pytest.mark.parametrize("kept", [True, False])
def test_spread_bands_are_those_of_one_piece(kept: bool) -> None:
    rng, box = np.random.default_rng(5), Box(7, 4, 590, 100)
    micrograph = Micrograph.from_array("x", noise((600, 110)), PixelSize(8.0, "test"), box)
    said = rng.integers(0, 3, box.shape).astype(np.uint8)

    def opinion() -> Opinion:
        return Opinion(iter([said[:100], said[100:]]), UNDIVIDED, (0.5, 1.0, 0.5, 2.0))

    whole = list(segment_bands(micrograph, FakeEngine(by_grey), RECIPE, opinion=opinion()))
    seen: list[tuple[int, int]] = []
    spread = list(
        spread_bands(
            micrograph,
            lambda: FakeEngine(by_grey),
            RECIPE,
            mapper=map,
            tasks=3,
            confidence=kept,
            advance=lambda done, total: seen.append((done, total)),
            opinion=opinion(),
        )
    )
    assert len(seen) == 2
    assert seen[-1] == (box.height, box.height)
    for one, other in zip(spread, whole, strict=True):
        assert (one.rows, one.entropy) == (other.rows, other.entropy)
        np.testing.assert_array_equal(one.phases, other.phases)
        np.testing.assert_array_equal(one.confidence, other.confidence * kept)
