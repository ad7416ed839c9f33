"""Summaries against sums by hand, and pooling against one large image."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from phantom import make_phantom

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Phase, PixelSize
from mudrock_cli.measure.groups import pool_fields
from mudrock_cli.measure.spatial import clark_evans
from mudrock_cli.measure.summary import MeasuredImage, measure_image
from mudrock_cli.measure.window import Window

Phases = npt.NDArray[np.uint8]


def measure(
    phases: Phases, nm: float = 1000, min_silt_um: float = 2.0, min_pore_um: float = 0.0
) -> MeasuredImage:
    mask = PhaseMask.from_array("a", phases)
    size = PixelSize(nm, "test")
    return measure_image("a", mask, size, min_silt_um, min_pore_um=min_pore_um)


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


def test_small_pores_are_in_porosity_alone() -> None:
    phases = scatter(3)
    row, whole = (measure(phases, min_silt_um=0, min_pore_um=least).row for least in (4, 0))
    table = measure(phases, min_silt_um=0, min_pore_um=4).instances.slice().to_pandas()
    pores = table[table["phase"] == "pore"]
    small = pores["ecd_um"] < 4
    assert list(pores["counted_as"] == "none") == list(small)
    assert pores.loc[small, "nearest_neighbour_um"].isna().all()
    assert (row["pores"], row["small_pores"]) == ((~small).sum(), small.sum())
    assert min(row["pores"], row["small_pores"]) > 10
    share = pores.loc[small, "area_um2"].sum() / phases.size
    assert row["small_pore_fraction"] == pytest.approx(share)
    for name in row.keys() - {"small_pore_fraction"}:
        if "porosity" in name or "fraction" in name:
            np.testing.assert_equal(row[name], whole[name])
    expected = np.percentile(pores.loc[~small, "ecd_um"], 10, method="hazen")
    assert row["pore_ecd_d10_number_um"] == pytest.approx(expected)
    assert whole["pore_ecd_d10_number_um"] < expected
    points = pores.loc[~small, ["centroid_y_um", "centroid_x_um"]]
    index = clark_evans(points.to_numpy(), Window(*phases.shape)).index
    assert row["pore_clark_evans"] == pytest.approx(index)
    # Nothing is counted, which is not to say that nothing was seen.
    nothing = measure(phases, min_silt_um=0, min_pore_um=100).row
    assert (nothing["pores"], nothing["small_pores"]) == (0, len(pores))
    assert math.isnan(nothing["pore_ecd_d50_area_um"])
    assert not any("pore was seen" in text for text in nothing["warnings"])
    assert nothing["clay_fraction_within_field_low"] == whole["clay_fraction_within_field_low"]


@pytest.mark.parametrize("seed", [1, 2])
def test_pixel_sizes_are_comparable_from_a_least_pore_on(seed: int) -> None:
    """The same rock at 5 and at 20 nm a pixel, which resolve pores from 17 and from 68 nm on."""
    fine = make_phantom(seed, (1200, 1600), 5.0).phases
    votes = [(fine == phase).reshape(300, 4, 400, 4).sum((1, 3)) for phase in range(3)]
    coarse = np.argmax(votes, 0).astype(np.uint8)
    ratios = {}
    for least in (0.0, 0.1):
        images = [measure(each, nm, 2.0, least) for each, nm in ((fine, 5.0), (coarse, 20.0))]
        fields = {"a": images[0].field, "b": images[1].field}
        (pooled,) = pool_fields(fields, {}, 2.0, least)
        told = any("only seen in fine ones" in text for text in pooled["warnings"])
        assert told == (least == 0)
        names = "pores", "pore_ecd_d50_number_um", "pore_clark_evans"
        ratios[least] = [images[0].row[name] / images[1].row[name] for name in names]
    assert ratios[0.0][0] > 1.3
    assert ratios[0.0][1] < 0.7
    assert ratios[0.0][2] < 0.95
    np.testing.assert_allclose(ratios[0.1], 1, atol=0.1)


def test_one_field_has_intervals_within_itself() -> None:
    row = measure(scatter(2, (240, 320)), min_silt_um=0).row
    for name in ("porosity", "silt_fraction", "clay_fraction"):
        low, high = (row[f"{name}_within_field_{limit}"] for limit in ("low", "high"))
        assert 0 < low < row[name] < high < 1
        assert np.isnan([row[f"{name}_low"], row[f"{name}_high"]]).all()
    stem = "pore_ecd_d50_area"
    low, high = (row[f"{stem}_within_field_{limit}_um"] for limit in ("low", "high"))
    assert low <= row[f"{stem}_corrected_um"] <= high
    assert math.isnan(row[f"{stem}_low_um"])


def test_several_fields_have_intervals_for_the_rock() -> None:
    fields = {name: measure(scatter(seed), min_silt_um=0).field for seed, name in enumerate("abc")}
    (row,) = pool_fields(fields, {}, 0.0)
    for name in ("porosity", "silt_fraction", "clay_fraction"):
        assert 0 < row[f"{name}_low"] < row[name] < row[f"{name}_high"] < 1
        assert math.isnan(row[f"{name}_within_field_low"])
    stem = "pore_ecd_d50_area"
    assert row[f"{stem}_low_um"] <= row[f"{stem}_corrected_um"] <= row[f"{stem}_high_um"]


def test_few_grains_carry_no_interval_of_sizes() -> None:
    row = measure(scatter(2)[:40, :40], min_silt_um=0).row
    assert 0 < row["silt_grains"] < 20
    assert row["silt_ecd_d50_area_um"] > 0
    assert math.isnan(row["silt_ecd_d50_area_within_field_low_um"])


def test_small_silt_is_taken_out_where_it_lies() -> None:
    # One long region over many blocks: taken out at its centroid it would leave less than no silt.
    phases = np.zeros((100, 400), np.uint8)
    phases[50, 10:390] = Phase.SILT
    row = measure(phases, 10).row
    assert row["silt_fraction"] == 0
    assert row["mask_silt_fraction"] == pytest.approx(380 / 40000)
    assert np.nanmax(row["silt_variation"], initial=0) == 0


def test_all_columns_have_one_rule_of_what_silt_is() -> None:
    """Silt too small to be silt changes no column of silt but the mask's own."""
    phases = np.kron(scatter(4), np.ones((2, 2), np.uint8))
    small = phases.copy()
    for top, left in ((0, 0), (7, 311), (101, 2), (238, 160)):
        assert not small[max(top - 1, 0) : top + 2, max(left - 1, 0) : left + 2].any()
        small[top, left] = Phase.SILT
    without, with_small = (measure(each).row for each in (phases, small))
    assert with_small["small_silt_regions"] == without["small_silt_regions"] + 4
    assert with_small["mask_silt_fraction"] > without["mask_silt_fraction"]
    columns = [name for name in without if name.startswith("silt_")]
    assert len(columns) > 60
    for name in columns:
        before, after = (np.array(row[name], float) for row in (without, with_small))
        np.testing.assert_allclose(after, before, rtol=1e-6, err_msg=name)


def test_nothing_seen_is_not_nothing() -> None:
    phases = np.zeros((400, 400), np.uint8)
    phases[5:9, 5:9] = Phase.PORE
    one = measure(phases, 50)
    assert one.row["silt_fraction"] == one.row["silt_fraction_within_field_low"] == 0
    # Discs of 4 µm in a field of 20 µm: three of 12.6 µm² in 400 + 160 + 12.6 µm².
    most = -math.log(0.05) * math.pi * 4 / (400 + 160 + math.pi * 4)
    assert one.row["silt_fraction_within_field_high"] == pytest.approx(most)
    assert any("no silt was seen" in text for text in one.warnings.values())
    fields = {name: measure(phases, 50).field for name in "abcd"}
    (pooled,) = pool_fields(fields, {}, 2.0)
    assert (pooled["silt_fraction_low"], pooled["silt_fraction_high"]) == (
        0, pytest.approx(most / 4),
    )  # fmt: skip
    assert any("no silt was seen" in text for text in pooled["warnings"])
    tiny = measure(phases[:20, :20], 50)
    assert any("up to 100 % silt" in text for text in tiny.warnings.values())
    nothing = measure(np.zeros((400, 400), np.uint8), 50).row
    assert nothing["clay_fraction"] == nothing["clay_fraction_within_field_high"] == 1
    pores = nothing["porosity_within_field_high"]
    assert nothing["clay_fraction_within_field_low"] == pytest.approx(1 - most - pores)


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
        assert row["warnings"][0].startswith("no silt and no pore was seen")


def test_no_specimen_is_refused() -> None:
    with pytest.raises(MudrockError, match="no specimen"):
        measure(np.full((20, 20), Phase.VOID, np.uint8))


def test_a_tiny_mask_is_measured() -> None:
    row = measure(np.array([[2]], np.uint8)).row
    assert row["porosity"] == 1
    assert math.isnan(row["porosity_within_field_low"])
    assert math.isnan(row["pore_clark_evans"])


def test_a_field_too_small_for_silt_is_told() -> None:
    phases = np.zeros((40, 300), np.uint8)
    phases[10:20, 10:20] = 1
    told = "hardly holds a silt grain of 2 µm"
    for nm, warned in ((50, True), (99, True), (100, False)):
        assert any(told in text for text in measure(phases, nm).warnings.values()) == warned
    pores = np.where(phases == 1, 2, 0).astype(np.uint8)
    assert not any(told in text for text in measure(pores, 50).warnings.values())


def test_a_single_whole_grain_is_one_grain() -> None:
    phases = np.zeros((60, 60), np.uint8)
    phases[20:30, 20:30] = Phase.SILT
    (told,) = (text for text in measure(phases, 500).warnings.values() if "corrected for" in text)
    assert told.endswith("rest on 1 whole silt grain")


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
    fields = {"a1": scatter(1), "a2": scatter(2), "b1": coarse, "b2": coarse.T.copy()}
    images = {name: measure(phases, min_silt_um=0) for name, phases in fields.items()}
    measured = {name: each.field for name, each in images.items()}
    groups = {"a1": "bed a", "a2": "bed a", "b1": "bed b", "b2": "bed b"}
    rows = list(pool_fields(measured, groups, 0.0))
    assert [row["scope"] for row in rows] == ["group", "group", "comparison", "pooled"]
    first, second, comparison, pooled = rows
    assert (first["group"], first["images"]) == ("bed a", 2)
    assert (comparison["group"], comparison["other_group"]) == ("bed a", "bed b")
    for name in ("porosity", "silt_fraction", "clay_fraction"):
        low, difference, high = (
            comparison[f"{name}_difference{limit}"] for limit in ("_low", "", "_high")
        )
        assert difference == pytest.approx(second[name] - first[name])
        assert low < difference < high
    assert comparison["pore_ks"] > 0.2
    assert comparison["pore_wasserstein_um"] > 1
    assert pooled["pores"] == sum(image.row["pores"] for image in images.values())


def test_a_group_of_one_field_is_not_compared() -> None:
    fields = {name: measure(scatter(seed)).field for seed, name in enumerate("abc")}
    rows = list(pool_fields(fields, {"a": "one", "b": "two", "c": "two"}, 2.0))
    assert any("one field only" in text for text in rows[0]["warnings"])
    comparison = rows[2]
    assert math.isnan(comparison["porosity_difference_low"])
    assert any("cannot be compared" in text for text in comparison["warnings"])


def test_warnings_of_images_are_repeated_where_they_are_pooled() -> None:
    phases = np.zeros((60, 60), np.uint8)
    phases[::4, ::4] = Phase.PORE
    coarse = np.kron(scatter(1), np.ones((4, 4), np.uint8))
    fields = {"a": measure(phases).field, "b": measure(coarse).field}
    (pooled,) = pool_fields(fields, {}, 2.0)
    assert "1 of 2 images: pores near the resolution limit" in pooled["warnings"]


def test_what_the_mask_says_of_its_origin_is_told() -> None:
    provenance = {
        "method": "segment",
        "results": {
            "outside_domain": ["coarse_texture", "doubt"],
            "resample_factor": 0.25,
            "model_judged": False,
        },
    }
    mask = PhaseMask.from_array("a", scatter(1), provenance=provenance)
    image = measure_image("a", mask, PixelSize(1000, "test"), 2.0)
    assert image.row["outside_training_range"] == ["coarse_texture", "doubt"]
    assert (image.row["resample_factor"], image.row["model_judged"]) == (0.25, False)
    told = "; ".join(image.row["warnings"])
    assert "unlike those that the model was trained on (coarse texture, mean entropy)" in told
    assert "the image was reduced 4.0 times" in told
    assert "never judged" in told
    (pooled,) = pool_fields({"a": image.field, "b": measure(scatter(1)).field}, {}, 2.0)
    assert "1 of 2 images: outside the training range" in pooled["warnings"]
    assert measure(scatter(1)).row["model_judged"] is None


def test_bands_change_no_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measure(scatter(4)).row
    monkeypatch.setattr("mudrock_cli.measure.components._BAND_PIXELS", 7 * 160)
    parts = measure(scatter(4)).row
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(parts[name], value, err_msg=name)
