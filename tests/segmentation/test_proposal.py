"""Which tiles are proposed for labelling."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_images import draw_grey
from hypothesis import given
from hypothesis import strategies as st

from mudrock_cli.deeplab.dataset import hash_phases, is_uncorrected
from mudrock_cli.deeplab.model import TrainedModel
from mudrock_cli.deeplab.training_range import Limits, measure_excess
from mudrock_cli.errors import MudrockError
from mudrock_cli.image.mask import PhaseMask, open_mask, write_mask
from mudrock_cli.image.micrograph import Micrograph, open_micrograph
from mudrock_cli.image.types import Box, Phase, PixelSize
from mudrock_cli.proposal import (
    Covered,
    Tile,
    cover,
    find_labelled,
    lay_tiles,
    propose_tiles,
    write_proposal,
)

GREY = np.zeros((1, 1), np.uint8)
NOTHING = Micrograph.from_array("nothing", GREY), PhaseMask.from_array("nothing", GREY)


def tile(place: int, uncertainty: float, look: float, *, labelled: bool = False) -> Tile:
    """Return a tile of its own place; tiles of like `look` look alike."""
    box = Box(0, 10 * place, 10, 10 * place + 10)
    return Tile(box, uncertainty, 0.1, 0.1, (look, look, look), labelled)


def places(*tiles: Tile, count: int) -> list[int]:
    chosen = propose_tiles([Covered("a", *NOTHING, tiles)], count)
    return [proposal.tile.box.left // 10 for proposal in chosen]


def test_of_alike_tiles_the_least_sure_is_proposed() -> None:
    assert places(*(tile(n, 0.1 + 0.1 * (n == 3), 1) for n in range(6)), count=1) == [3]


def test_tiles_are_unlike_each_other() -> None:
    many = [tile(n, 0.30, 1) for n in range(10)]
    other = [tile(n, 0.20, 2) for n in range(10, 15)]
    third = [tile(n, 0.15, 3) for n in range(15, 20)]
    chosen = places(*many, *other, *third, count=3)
    assert [place // 5 for place in sorted(chosen)] in ([0, 2, 3], [1, 2, 3])
    assert chosen[0] < 10


def test_what_is_labelled_is_not_proposed_again() -> None:
    many = [tile(n, 0.30, 1, labelled=n == 0) for n in range(10)]
    other = [tile(n, 0.20, 2) for n in range(10, 15)]
    chosen = places(*many, *other, count=2)
    assert chosen[0] >= 10
    assert 0 not in chosen
    overlapping = replace(tile(0, 0.9, 3), box=Box(5, 5, 15, 15))
    assert places(many[0], overlapping, count=1) == []


def test_a_micrograph_outside_the_training_range_comes_first() -> None:
    tiles = [tile(n, 0.1, n) for n in range(4)]
    far, near = Covered("far", *NOTHING, tuple(tiles), 0.8), Covered("near", *NOTHING, tuple(tiles))
    assert propose_tiles([near, far], 1)[0].source is far


def test_coverage_grows_to_one() -> None:
    rng = np.random.default_rng(0)
    tiles = [tile(n, *rng.random(2)) for n in range(12)]
    chosen = propose_tiles([Covered("a", *NOTHING, tuple(tiles))], 20)
    covers = [proposal.covers for proposal in chosen]
    assert len(chosen) == 12
    assert covers == sorted(covers)
    assert covers[-1] == pytest.approx(1)
    assert propose_tiles([Covered("a", *NOTHING, ())], 3) == []


@given(st.integers(1, 300), st.integers(1, 300), st.integers(2, 120))
def test_tiles_cover_a_specimen_and_stay_in_it(height: int, width: int, side: int) -> None:
    specimen = Box(7, 5, 7 + height, 5 + width)
    seen = np.zeros((7 + height + 9, 5 + width + 9), int)
    boxes = lay_tiles(specimen, side)
    for box in boxes:
        assert box.shape == (min(side, height), min(side, width))
        seen[box.rows, box.columns] += 1
    assert len(set(boxes)) == len(boxes)
    assert seen[specimen.rows, specimen.columns].all()
    assert seen.astype(bool).sum() == height * width


def test_the_distance_from_the_training_range() -> None:
    known = {"skew": Limits(-1, 1), "slope": Limits(0, 4)}
    assert measure_excess(known, {"skew": 0.5, "slope": 4}) == 0
    assert measure_excess(known, {"skew": -2, "slope": 5}) == 0.5
    assert measure_excess(known, {"skew": None, "slope": 1}) == 1
    assert measure_excess({}, {}) == 0


@pytest.fixture
def covered(tmp_path: Path, tiny_model: TrainedModel) -> Covered:
    grey = draw_grey((260, 300))
    grey[130:200, 150:260] = 179  # where the tiny model wavers between clay and silt
    specimen = Box(0, 0, 240, 300)
    micrograph = Micrograph.from_array("deep", grey, PixelSize(10, "test"), specimen)
    known = [Box(0, 0, 64, 64), Box(0, 0, 999, 64)]  # the second is of another micrograph
    return cover("sub/deep", micrograph, tiny_model, 64, tmp_path / "mask.tif", known)


def test_tiles_hold_specimen_alone_and_tell_what_the_mask_shows(covered: Covered) -> None:
    phases = covered.mask.phases()
    assert (phases[240:] == Phase.VOID).all()
    for each in covered.tiles:
        seen = phases[each.box.rows, each.box.columns]
        assert not (seen == Phase.VOID).any()
        assert each.pore_fraction == pytest.approx((seen == Phase.PORE).mean())
        assert each.silt_fraction == pytest.approx((seen == Phase.SILT).mean())
    assert max(each.box.bottom for each in covered.tiles) == 240
    assert [each.box for each in covered.tiles if each.labelled] == [Box(0, 0, 64, 64)]
    box = propose_tiles([covered], 1)[0].tile.box
    assert box.top >= 120
    assert box.left >= 140


def test_a_proposed_tile_is_cut_from_its_place(covered: Covered, tmp_path: Path) -> None:
    (proposal,) = propose_tiles([covered], 1)
    box, out = proposal.tile.box, tmp_path / "out"
    image, label = write_proposal(out, proposal)
    assert image == out / "images" / "sub" / f"deep_tile_x{box.left}_y{box.top}.tif"
    grey, mask = open_micrograph(image), open_mask(label)
    np.testing.assert_array_equal(
        grey.grey(), covered.micrograph.grey()[box.rows, box.columns], strict=True
    )
    np.testing.assert_array_equal(mask.phases(), covered.mask.phases()[box.rows, box.columns])
    for each in (grey, mask):
        assert each.pixel_size is not None
        assert each.pixel_size.nm == pytest.approx(10)
    assert find_labelled(out, 512) == {"sub/deep": [box]}
    assert find_labelled(tmp_path / "nowhere", 512) == {}
    assert is_uncorrected(label)


def test_a_corrected_mask_is_told_from_a_proposed_one(covered: Covered, tmp_path: Path) -> None:
    (proposal,) = propose_tiles([covered], 1)
    _, label = write_proposal(tmp_path, proposal)
    mask = open_mask(label)
    phases = mask.phases().copy()
    phases[0, 0] = (phases[0, 0] + 1) % 3
    write_mask(label, replace(mask, read=lambda rows, columns: phases[rows, columns]))
    assert open_mask(label).provenance["proposed"]["phases"] != hash_phases(phases)
    assert not is_uncorrected(label)


def test_without_a_pixel_size_there_is_nothing_to_learn(
    tmp_path: Path, tiny_model: TrainedModel
) -> None:
    micrograph = Micrograph.from_array("a", draw_grey())
    with pytest.raises(MudrockError, match="a: no pixel size"):
        cover("a", micrograph, tiny_model, 64, tmp_path / "mask.tif")
