"""Summaries against sums by hand, and pooling against one large image."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Phase, PixelSize
from mudrock_cli.measure.groups import pool_fields
from mudrock_cli.measure.summary import MeasuredImage, measure_image

Phases = npt.NDArray[np.uint8]


def measure(phases: Phases, nm: float = 1000, min_silt_um: float = 2.0) -> MeasuredImage:
    mask = PhaseMask.from_array("a", phases)
    return measure_image("a", mask, PixelSize(nm, "test"), min_silt_um)


def scatter(seed: int, shape: tuple[int, int] = (120, 160)) -> Phases:
    """Squares of silt and of pore on a grid, so that none touch."""
    rng = np.random.default_rng(seed)
    phases = np.zeros(shape, np.uint8)
    for top in range(2, shape[0] - 10, 10):
        for left in range(2, shape[1] - 10, 10):
            side = rng.integers(1, 8)
            value = rng.choice([Phase.CLAY, Phase.SILT, Phase.PORE])
            phases[top : top + side, left : left + side] = value
    return phases


def test_fractions_are_shares_of_specimen() -> None:
    phases = np.zeros((50, 40), np.uint8)
    phases[40:] = Phase.VOID
    phases[5:15, 5:15] = Phase.SILT
    phases[20:22, 20:21] = Phase.SILT  # ECD 1.6 µm: counts as clay
    phases[30:34, 30:34] = Phase.PORE
    row = measure(phases).row
    assert row["area_analysed_um2"] == 1600
    assert row["porosity"] == 16 / 1600
    assert row["silt_fraction"] == 100 / 1600
    assert row["clay_fraction"] == (1600 - 116) / 1600
    assert row["mask_silt_fraction"] == 102 / 1600
    assert row["mask_clay_fraction"] == (1600 - 118) / 1600
    assert (row["pores"], row["silt_grains"], row["small_silt_regions"]) == (1, 1, 1)
    assert row["silt_ecd_d50_number_um"] == pytest.approx(math.sqrt(400 / math.pi))
    assert (row["height_px"], row["width_px"]) == (50, 40)


def test_percentiles_by_number_and_by_area() -> None:
    row = measure(scatter(1), min_silt_um=0).row
    table = measure(scatter(1), min_silt_um=0).instances.slice().to_pandas()
    pores = table[table["phase"] == "pore"]
    expected = np.percentile(pores["ecd_um"], (10, 50, 90), method="hazen")
    found = [row[f"pore_ecd_d{percent}_number_um"] for percent in (10, 50, 90)]
    np.testing.assert_allclose(found, expected)
    # By area: half of the area is in smaller pores.
    median, total = row["pore_ecd_d50_area_um"], pores["area_um2"].sum()
    assert pores.loc[pores["ecd_um"] < 0.999 * median, "area_um2"].sum() <= total / 2
    assert pores.loc[pores["ecd_um"] < 1.001 * median, "area_um2"].sum() >= total / 2
    assert row["pore_ecd_d50_area_um"] > row["pore_ecd_d50_number_um"]


def test_intervals_hold_their_figures() -> None:
    row = measure(scatter(2), min_silt_um=0).row
    for name in ("porosity", "silt_fraction", "clay_fraction"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
        assert row[f"{name}_low"] >= 0
    assert row["pore_ecd_d50_area_low_um"] <= row["pore_ecd_d50_area_um"]
    assert row["pore_ecd_d50_area_um"] <= row["pore_ecd_d50_area_high_um"]


def test_small_silt_is_taken_out_where_it_lies() -> None:
    # One long region over many blocks: taken out at its centroid it would leave less than no silt.
    phases = np.zeros((100, 400), np.uint8)
    phases[50, 10:390] = Phase.SILT
    row = measure(phases, 10).row
    assert (row["silt_fraction"], row["silt_fraction_low"], row["silt_fraction_high"]) == (0, 0, 0)
    assert row["mask_silt_fraction"] == pytest.approx(380 / 40000)


@pytest.mark.parametrize("value", [Phase.CLAY, Phase.SILT, Phase.PORE])
def test_one_phase_alone(value: Phase) -> None:
    row = measure(np.full((40, 60), value, np.uint8)).row
    shares = {Phase.CLAY: "clay_fraction", Phase.SILT: "silt_fraction", Phase.PORE: "porosity"}
    assert {phase: row[name] for phase, name in shares.items()} == {
        phase: float(phase == value) for phase in shares
    }
    for phase, word in ((Phase.SILT, "silt"), (Phase.PORE, "pore")):
        assert math.isnan(row[f"{word}_ecd_d50_area_um"]) == (phase != value)
    if value == Phase.CLAY:
        assert row["warnings"] == ["there is neither silt nor pore in the mask"]


def test_no_specimen_is_refused() -> None:
    with pytest.raises(MudrockError, match="no specimen"):
        measure(np.full((20, 20), Phase.VOID, np.uint8))


def test_a_tiny_mask_is_measured() -> None:
    row = measure(np.array([[2]], np.uint8)).row
    assert row["porosity"] == 1
    assert math.isnan(row["porosity_low"])
    assert math.isnan(row["pore_clark_evans"])


def test_a_field_too_small_for_silt_is_told() -> None:
    phases = np.zeros((40, 300), np.uint8)
    phases[10:20, 10:20] = 1
    told = "hardly holds a silt grain of 2 µm"
    for nm, warned in ((50, True), (99, True), (100, False)):
        assert any(told in text for text in measure(phases, nm).warnings.values()) == warned
    pores = np.where(phases == 1, 2, 0).astype(np.uint8)
    assert not any(told in text for text in measure(pores, 50).warnings.values())


def test_warnings_are_words() -> None:
    phases = np.zeros((60, 60), np.uint8)
    phases[::4, ::4] = Phase.PORE
    warnings = measure(phases).warnings
    assert any("resolution limit" in text for text in warnings.values())
    phases[:] = 0
    phases[20:30, :] = Phase.SILT
    assert any("no silt grains lie whole" in text for text in measure(phases).warnings.values())


def test_spacing_and_direction() -> None:
    phases = np.zeros((200, 300), np.uint8)
    for column in range(3, 14):
        phases[5::20, column::20] = Phase.PORE
    row = measure(phases, 500).row
    assert row["pore_clark_evans"] > 1.8  # a square lattice: as regular as can be
    assert row["pore_orientation_deg"] == pytest.approx(0, abs=1e-9)
    assert row["pore_orientation_strength"] == pytest.approx(1)
    short = np.zeros((200, 300), np.uint8)
    short[5::20, 3::20] = short[5::20, 4::20] = Phase.PORE
    assert math.isnan(
        measure(short, 500).row["pore_orientation_deg"]
    )  # of two pixels: no direction
    assert row["pore_two_point"][0] == pytest.approx(row["porosity"])
    # Neighbours of a pixel along rows, columns and diagonals, at 0.5 µm a pixel.
    assert row["two_point_distance_um"][1] == pytest.approx(0.25 + 0.25 * math.sqrt(2), rel=0.01)
    assert len(row["pore_ripley_l_um"]) == len(row["pore_ripley_radius_um"])
    assert "silt_ripley_l_um" not in row


def test_pooling_adds_areas_not_shares() -> None:
    small, large = np.zeros((40, 40), np.uint8), np.zeros((80, 80), np.uint8)
    small[10:20, 10:20] = Phase.PORE
    large[10:20, 10:20] = Phase.PORE
    images = {"small": measure(small, 1000), "large": measure(large, 500)}
    (pooled,) = pool_fields({name: each.field for name, each in images.items()}, {}, 2.0)
    assert pooled["scope"] == "pooled"
    assert pooled["images"] == 2
    # Both fields are 40 µm wide; the pores cover 100 and 25 µm².
    assert pooled["area_analysed_um2"] == 3200
    assert pooled["porosity"] == pytest.approx(125 / 3200)
    assert pooled["pores"] == 2
    assert any("from 500 to 1000 nm" in text for text in pooled["warnings"])


def test_one_image_pooled_is_itself() -> None:
    image = measure(scatter(3))
    (pooled,) = pool_fields({"a": image.field}, {}, 2.0)
    assert pooled.pop("scope") == "pooled"
    pooled.pop("warnings")
    assert len(pooled) > 60
    for name, value in pooled.items():
        np.testing.assert_array_equal(image.row[name], value, err_msg=name)


def test_groups_are_pooled_and_compared() -> None:
    coarse = np.kron(scatter(5, (60, 80)), np.ones((2, 2), np.uint8)).astype(np.uint8)
    fields = {"a1": scatter(1), "a2": scatter(2), "b1": coarse}
    images = {name: measure(phases, min_silt_um=0) for name, phases in fields.items()}
    measured = {name: each.field for name, each in images.items()}
    groups = {"a1": "bed a", "a2": "bed a", "b1": "bed b"}
    rows = list(pool_fields(measured, groups, 0.0))
    assert [row["scope"] for row in rows] == ["group", "group", "comparison", "pooled"]
    first, second, comparison, pooled = rows
    assert (first["group"], first["images"]) == ("bed a", 2)
    assert (comparison["group"], comparison["other_group"]) == ("bed a", "bed b")
    difference = second["porosity"] - first["porosity"]
    assert comparison["porosity_difference"] == pytest.approx(difference)
    assert (
        comparison["porosity_difference_low"] < difference < comparison["porosity_difference_high"]
    )
    assert comparison["pore_ks"] > 0.2
    assert comparison["pore_wasserstein_um"] > 1
    assert pooled["pores"] == sum(image.row["pores"] for image in images.values())


def test_bands_change_no_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measure(scatter(4)).row
    monkeypatch.setattr("mudrock_cli.measure.components._BAND_PIXELS", 7 * 160)
    parts = measure(scatter(4)).row
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(parts[name], value, err_msg=name)
