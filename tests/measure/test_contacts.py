import math

import numpy as np
import pytest
from scipy.ndimage import binary_fill_holes, gaussian_filter

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Phase, PixelSize
from mudrock_cli.measure.components import label_mask
from mudrock_cli.measure.instances import divide_silt
from mudrock_cli.measure.summary import measure_image
from mudrock_cli.measure.texture import divide_grains, sum_contacts


def _discs(shape: tuple[int, int], *discs: tuple[float, float, float]) -> np.ndarray:
    row, column = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, bool)
    for centre_row, centre_column, radius in discs:
        mask |= (row - centre_row) ** 2 + (column - centre_column) ** 2 <= radius**2
    return mask


def test_two_discs_that_overlap_a_little_are_two_grains_with_one_contact() -> None:
    sums = sum_contacts(_discs((80, 120), (40, 40, 20), (40, 78, 20)))
    assert (sums.grains, sums.contacts) == (2, 1)
    assert 0 < sums.contiguity < 0.3
    assert sums.contacts_per_grain == 1


def test_discs_apart_have_no_contact() -> None:
    sums = sum_contacts(_discs((80, 120), (40, 40, 18), (40, 80, 18)))
    assert (sums.grains, sums.contacts, sums.shared) == (2, 0, 0)
    assert sums.contiguity == 0


def test_a_long_grain_and_a_ragged_grain_stay_one() -> None:
    bar = np.zeros((40, 200), bool)
    bar[12:28, 10:190] = True
    assert sum_contacts(bar).grains == 1
    ragged = _discs((120, 120), (60, 60, 40))
    ragged &= np.random.default_rng(0).random(ragged.shape) > 0.002
    edge = _discs((120, 120), (60, 60, 41)) & ~_discs((120, 120), (60, 60, 39))
    ragged ^= edge & (np.random.default_rng(1).random(ragged.shape) < 0.3)
    assert np.bincount(divide_grains(ragged)[ragged])[1:].max() > 0.9 * ragged.sum()


def test_pores_in_a_grain_make_no_contacts() -> None:
    disc = _discs((120, 120), (60, 60, 45))
    four = _discs((120, 120), (45, 45, 7), (45, 75, 6), (75, 45, 5), (75, 75, 8))
    one = _discs((120, 120), (60, 75, 20))
    for pores in (four, one):
        sums = sum_contacts(disc & ~pores)
        assert (sums.grains, sums.contacts, sums.contiguity) == (1, 0, 0)


def test_rough_outlines_make_no_grains() -> None:
    """Discs whose radius varies by a tenth around their outline, and by single pixels."""
    row, column = np.mgrid[:140, :140] - 70.0
    angle = np.arctan2(row, column)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        waves = sum(
            rng.normal(0, 0.03) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in range(3, 15)
        )
        rough = np.hypot(row, column) < 45 * (1 + waves)
        rough ^= (gaussian_filter(rng.standard_normal(rough.shape), 1) > 0.6) & (
            np.abs(np.hypot(row, column) - 45 * (1 + waves)) < 1.5
        )
        assert np.bincount(divide_grains(rough)[rough])[1:].max() > 0.97 * rough.sum()
        assert sum_contacts(rough).contacts == 0


def test_clay_between_touching_grains_is_no_part_of_them() -> None:
    """Rings of three and of four discs, whose gaps are holes in one region of silt."""
    three = _discs((200, 200), (70, 60, 40), (70, 138, 40), (137, 99, 40))
    four = _discs((110, 110), (35, 35, 20), (35, 74, 20), (74, 35, 20), (74, 74, 20))
    for mask, contacts in ((three, 3), (four, 4)):
        sums = sum_contacts(mask)
        assert (sums.grains, sums.contacts) == (contacts, contacts)
        assert 0 < sums.contiguity < 0.25


def test_a_neck_with_a_small_grain_in_it_does_not_join_two_large_ones() -> None:
    mask = _discs((80, 140), (40, 35, 25), (40, 67, 9), (40, 99, 25))
    assert sum_contacts(mask).grains == 3


def test_a_packing_is_more_contiguous_than_a_suspension() -> None:
    lattice = [(row, column, 14) for row in range(20, 280, 26) for column in range(20, 280, 26)]
    packed = sum_contacts(_discs((300, 300), *lattice))
    apart = sum_contacts(_discs((300, 300), *[(row, column, 10) for row, column, _ in lattice]))
    assert packed.grains == apart.grains == 100
    assert packed.contacts == 180
    assert packed.contacts_per_grain == pytest.approx(3.6)
    assert packed.contiguity > 0.3
    assert apart.contiguity == 0


def test_quarter_turn_and_void() -> None:
    mask = _discs((100, 120), (40, 40, 20), (40, 78, 20), (75, 60, 18))
    once, turned = sum_contacts(mask), sum_contacts(np.rot90(mask))
    assert (turned.grains, turned.contacts) == (once.grains, once.contacts)
    assert turned.free == pytest.approx(once.free, abs=2)
    specimen = np.ones_like(mask)
    specimen[~mask] = False
    assert sum_contacts(mask, specimen).free == 0


def test_every_silt_pixel_has_a_grain_and_nothing_outside_has() -> None:
    mask = np.random.default_rng(3).random((64, 64)) < 0.55
    grains = divide_grains(mask)
    assert (grains[mask] > 0).all()
    enclosed = binary_fill_holes(mask)
    assert not grains[~enclosed].any()
    assert set(np.unique(grains[grains > 0])) == set(range(1, grains.max() + 1))


def test_touching_grains_are_measured_apart_on_request() -> None:
    """A chain, a square and a heap of discs, and one alone; bands change nothing."""
    places = [(30, 30), (30, 66), (30, 102), (30, 160), (100, 30), (100, 66), (136, 30), (136, 66)]
    heap = [(110, 150), (110, 186), (141, 168)]
    discs = _discs((180, 220), *[(row, column, 19) for row, column in places + heap])
    phases = discs.astype(np.uint8)
    phases[100:104, 28:32] = phases[28:31, 160] = Phase.PORE
    mask = PhaseMask.from_array("a", phases)
    once = measure_image("a", mask, PixelSize(100, "test"), 2.0)
    split = measure_image("a", mask, PixelSize(100, "test"), 2.0, split=True)
    assert (once.row["silt_grains"], split.row["silt_grains"]) == (4, 11)
    assert "silt_regions" not in once.row
    assert split.row["silt_regions"] == 4
    for name in ("silt_fraction", "porosity", "silt_contiguity"):
        assert split.row[name] == pytest.approx(once.row[name])
    table = split.instances.slice().to_pandas()
    grains, pores = (table[table["phase"] == phase] for phase in ("silt", "pore"))
    assert grains["ecd_um"].to_numpy() == pytest.approx(3.75, rel=0.03)
    assert set(pores["host"]) == {"intraparticle"}
    parts, regions = divide_silt(mask, PixelSize(100, "test"), 2.0)
    assert regions == 4
    whole, bands = (label_mask(mask, parts=parts, band_rows=rows) for rows in (1000, 7))
    painted = [np.concatenate(list(each.paint(mask))) for each in (whole, bands)]
    np.testing.assert_array_equal(*painted)
    assert painted[0].max() == 13
    assert (painted[0] > 0).sum() == np.count_nonzero(phases)


def test_values_that_mark_parts_are_refused_in_masks() -> None:
    mask = PhaseMask.from_array("a", np.full((9, 9), 17, np.uint8))
    for split in (False, True):
        with pytest.raises(MudrockError, match="the value 17"):
            measure_image("a", mask, PixelSize(100, "test"), 2.0, split=split)


def test_nothing() -> None:
    sums = sum_contacts(np.zeros((5, 5), bool))
    assert sums.grains == 0
    assert math.isnan(sums.contiguity)
    assert math.isnan((sums + sums).contacts_per_grain)
