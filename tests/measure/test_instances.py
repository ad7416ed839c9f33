"""Measures of single objects against scikit-image and shapes with known answers."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from skimage.measure import label, regionprops_table

from mudrock_cli.image.mask import PhaseMask
from mudrock_cli.image.types import Phase, PixelSize
from mudrock_cli.measure.components import label_mask
from mudrock_cli.measure.instances import Instances, measure_instances, measure_objects
from mudrock_cli.measure.schema import INSTANCES

Phases = npt.NDArray[np.uint8]
Columns = dict[str, npt.NDArray[Any]]
NM = 200.0


def measure(phases: Phases, nm: float = NM, min_silt_um: float = 0.0) -> Columns:
    labelling = label_mask(PhaseMask.from_array("a", phases))
    table = measure_instances("a", labelling, PixelSize(nm, "test"), min_silt_um)
    # Arrow turns a null among words into the last word, and one among integers into a float.
    plain = ("category", "uint")
    return {
        column.name: np.array(table[column.name].to_pylist(), object)
        if column.type in plain
        else table[column.name].to_numpy()
        for column in INSTANCES
    }


def draw_disc(radius: float, value: int = Phase.SILT) -> Phases:
    side = int(radius) + 3
    y, x = np.mgrid[-side : side + 1, -side : side + 1]
    return np.where(np.hypot(y, x) <= radius, np.uint8(value), np.uint8(0))


@pytest.fixture(scope="module")
def natural() -> Phases:
    rng = np.random.default_rng(7)
    silt, pore = (gaussian_filter(rng.standard_normal((300, 330)), 3) for _ in range(2))
    phases = np.zeros(silt.shape, np.uint8)
    phases[silt > 0.05] = Phase.SILT
    phases[pore > 0.1] = Phase.PORE
    return phases


@pytest.mark.parametrize("phase", [Phase.SILT, Phase.PORE])
def test_equals_scikit_image(natural: Phases, phase: Phase) -> None:
    names = (
        "area", "equivalent_diameter_area", "centroid", "bbox", "axis_major_length",
        "axis_minor_length", "orientation", "perimeter_crofton", "area_convex", "solidity",
        "feret_diameter_max",
    )  # fmt: skip
    theirs = regionprops_table(label(natural == phase, connectivity=2), properties=names)
    ours = measure(natural)
    kept = ours["phase"] == phase.name.lower()
    ours = {name: column[kept] for name, column in ours.items()}
    um = NM / 1e3
    pairs = {
        "area_px": theirs["area"],
        "area_um2": theirs["area"] * um**2,
        "ecd_um": theirs["equivalent_diameter_area"] * um,
        "centroid_row_px": theirs["centroid-0"],
        "centroid_column_px": theirs["centroid-1"],
        "bbox_top_px": theirs["bbox-0"],
        "bbox_left_px": theirs["bbox-1"],
        "bbox_bottom_px": theirs["bbox-2"],
        "bbox_right_px": theirs["bbox-3"],
        "major_axis_um": theirs["axis_major_length"] * um,
        "perimeter_um": theirs["perimeter_crofton"] * um,
        "convex_area_um2": theirs["area_convex"] * um**2,
        "solidity": theirs["solidity"],
        "feret_max_um": theirs["feret_diameter_max"] * um,
    }
    assert len(ours["label"]) > 50
    for name, expected in pairs.items():
        np.testing.assert_allclose(ours[name], expected, rtol=1e-12, err_msg=name)
    # The short axis of a line of pixels is zero here, and the root of a rounding error there.
    minor = theirs["axis_minor_length"] * um
    np.testing.assert_allclose(ours["minor_axis_um"], minor, rtol=1e-9, atol=1e-6)
    defined = ~np.isnan(ours["orientation_deg"])
    turned = np.degrees(theirs["orientation"]) + 90 - ours["orientation_deg"]
    off = np.abs((turned[defined] + 90) % 180 - 90)
    assert off.max() < 1e-6
    assert (ours["major_axis_um"] - ours["minor_axis_um"])[~defined].max(initial=0) < 1e-9


def test_disc() -> None:
    radius = 60.0
    disc = {name: column[0] for name, column in measure(draw_disc(radius), 1000).items()}
    assert disc["ecd_um"] == pytest.approx(2 * radius, rel=2e-3)
    assert disc["major_axis_um"] == pytest.approx(2 * radius, rel=2e-3)
    assert disc["perimeter_um"] == pytest.approx(2 * np.pi * radius, rel=1e-2)
    assert disc["form_factor"] == pytest.approx(1, abs=0.02)
    assert disc["circularity"] == pytest.approx(np.sqrt(disc["form_factor"]))
    assert disc["aspect_ratio"] == pytest.approx(1)
    assert np.isnan(disc["orientation_deg"])
    assert disc["solidity"] > 0.98
    assert disc["ecd_phi"] == pytest.approx(-np.log2(0.12), abs=0.01)
    assert disc["centroid_x_um"] == pytest.approx(63.5)
    assert not disc["touches_border"]


@pytest.mark.parametrize(
    ("steps", "degrees"), [((0, 1), 0), ((-1, 1), 45), ((1, 0), 90), ((1, 1), 135)]
)
def test_line_of_pixels(steps: tuple[int, int], degrees: float) -> None:
    phases = np.zeros((30, 30), np.uint8)
    places = np.arange(-9, 10)
    phases[15 + places * steps[0], 15 + places * steps[1]] = Phase.PORE
    line = measure(phases)
    assert line["orientation_deg"] == pytest.approx([degrees])
    assert line["minor_axis_um"] == [0]
    assert np.isnan(line["aspect_ratio"]).all()


def test_doubling_the_pixel_doubles_lengths(natural: Phases) -> None:
    power = {"µm": 1, "µm²": 2}
    single, double = measure(natural, 100), measure(natural, 200)
    for column in INSTANCES:
        if column.type == "float" and column.name != "ecd_phi":
            factor = 2.0 ** power.get(column.unit, 0)
            np.testing.assert_allclose(double[column.name], single[column.name] * factor)
    np.testing.assert_allclose(double["ecd_phi"], single["ecd_phi"] - 1)


def test_a_quarter_turn_changes_only_places(natural: Phases) -> None:
    before, after = measure(natural), measure(np.rot90(natural).copy())
    row_of = {place: i for i, place in enumerate(zip(
        np.round(after["centroid_row_px"], 6), np.round(after["centroid_column_px"], 6), strict=True
    ))}  # fmt: skip
    last = natural.shape[1] - 1
    places = zip(last - before["centroid_column_px"], before["centroid_row_px"], strict=True)
    order = [row_of[round(row, 6), round(column, 6)] for row, column in places]
    same = (
        "area_um2", "major_axis_um", "minor_axis_um", "perimeter_um", "feret_min_um",
        "feret_max_um", "convex_area_um2", "solidity", "nearest_neighbour_um", "silt_contact",
        "touches_border", "frame_weight",
    )  # fmt: skip
    for name in same:
        np.testing.assert_allclose(after[name][order], before[name], atol=1e-9, err_msg=name)
    turn = (after["orientation_deg"][order] - before["orientation_deg"]) % 180
    np.testing.assert_allclose(turn[~np.isnan(turn)], 90)


def test_nearest_neighbours_are_of_the_same_phase(natural: Phases) -> None:
    table = measure(natural)
    for phase in ("silt", "pore"):
        kept = table["phase"] == phase
        points = np.stack([table["centroid_y_um"], table["centroid_x_um"]], axis=1)[kept]
        expected = cKDTree(points).query(points, k=2)[0][:, 1]
        np.testing.assert_allclose(table["nearest_neighbour_um"][kept], expected)


def test_small_silt_counts_as_clay_and_stays_silt_in_the_mask() -> None:
    phases = np.zeros((40, 80), np.uint8)
    phases[5:15, 5:15] = Phase.SILT  # ECD 11.28 pixels
    phases[5:7, 30:32] = Phase.SILT
    phases[20:22, 30:32] = Phase.PORE
    table = measure(phases, 1000, min_silt_um=11.28)
    assert list(table["phase"]) == ["silt", "silt", "pore"]
    assert list(table["counted_as"]) == ["silt", "clay", "pore"]
    exactly = float(np.sqrt(400 / np.pi))
    assert measure(phases, 1000, min_silt_um=exactly)["counted_as"][0] == "clay"
    assert list(table["size_class"]) == ["fine silt", "very fine silt", "very fine silt"]
    assert list(table["size_class_wentworth"]) == ["fine silt", "clay", "clay"]


def test_hosts_of_pores() -> None:
    phases = np.zeros((40, 60), np.uint8)
    phases[5:25, 5:25] = Phase.SILT
    phases[10:14, 10:14] = Phase.PORE  # inside the grain
    phases[20:30, 8:10] = Phase.PORE  # half in it
    phases[30:34, 40:44] = Phase.PORE  # in clay
    phases[0:4, 40:44] = phases[4:8, 36:48] = Phase.SILT
    phases[0:4, 36:40] = Phase.PORE  # at the frame, beside the second grain
    table = measure(phases)
    pores = np.flatnonzero(table["phase"] == "pore")
    grains = table["label"][table["phase"] == "silt"]
    second, first = sorted(grains, key=lambda one: table["bbox_left_px"][one - 1], reverse=True)
    by_place = {(table["bbox_top_px"][i], table["bbox_left_px"][i]): i for i in pores}
    inside, half, clay, frame = (
        by_place[place] for place in [(10, 10), (20, 8), (30, 40), (0, 36)]
    )
    assert [table["host"][i] for i in (inside, half, clay, frame)] == ["intraparticle"] + 3 * [
        "interparticle"
    ]
    assert [table["host_label"][i] for i in (inside, half, clay, frame)] == [
        first, first, None, second,
    ]  # fmt: skip
    assert table["silt_contact"][[inside, half, clay, frame]] == pytest.approx(
        [1, (2 + 5 + 5) / 24, 0, 8 / 16]
    )
    assert table["host"][grains[0] - 1] is None
    assert np.isnan(table["silt_contact"][grains[0] - 1])


def test_a_host_that_counts_as_clay_is_none() -> None:
    phases = np.zeros((12, 12), np.uint8)
    phases[3:8, 3:8] = Phase.SILT
    phases[5, 5] = Phase.PORE
    assert list(measure(phases)["host"]) == [None, "intraparticle"]
    assert list(measure(phases, 1000, min_silt_um=50)["host"]) == [None, "interparticle"]


def test_border_is_the_frame_or_void() -> None:
    phases = np.zeros((30, 30), np.uint8)
    phases[20:] = Phase.VOID
    for top, left in [(0, 5), (4, 27), (18, 3), (10, 10)]:
        phases[top : top + 2, left : left + 3] = Phase.PORE
    phases[15, 20] = Phase.VOID
    phases[14, 19] = Phase.PORE  # touches VOID by a corner
    table = measure(phases)
    found = dict(zip(table["bbox_top_px"], table["touches_border"], strict=True))
    assert found == {0: True, 4: True, 18: True, 10: False, 14: True}
    weight = dict(zip(table["bbox_top_px"], table["frame_weight"], strict=True))
    assert {weight[top] for top in (0, 4, 18, 14)} == {0}
    assert weight[10] > 1
    phases[14, 19] = phases[15, 20] = 0  # a rectangle of specimen
    assert measure(phases)["frame_weight"].max() == pytest.approx(20 * 30 / ((20 - 2) * (30 - 3)))


@pytest.mark.parametrize("turn", range(4))
def test_cut_grains_count_by_the_circle_that_they_are_part_of(turn: int) -> None:
    """Discs of radius 20 px, cut by the frame, by its corner, and by an oblique edge of VOID."""
    row, column = np.mgrid[:120, :160]
    phases = np.zeros((120, 160), np.uint8)
    for y, x in ((-8, 60), (60, 166), (8, 8), (114, 100), (60, 60)):
        phases[np.hypot(row - y, column - x) <= 20] = Phase.SILT
    phases[np.hypot(row - 110, column - 30) <= 20] = Phase.SILT
    phases[row - column > 85] = Phase.VOID
    table = measure(np.rot90(phases, turn).copy(), 100, 3.5)
    assert len(table["label"]) == 6
    assert table["whole_ecd_um"] == pytest.approx(np.full(6, 4.0), rel=0.08)
    assert (table["ecd_um"] < 3.5).sum() >= 3
    assert set(table["counted_as"]) == {"silt"}
    whole = ~table["touches_border"].astype(bool)
    assert list(table["whole_ecd_um"][whole]) == list(table["ecd_um"][whole])


def test_small_fields_lose_little_silt_at_their_frame() -> None:
    """Discs anywhere over fields of 10 µm at 100 nm: what is left by the frame counts as silt."""
    rng, sums = np.random.default_rng(8), np.zeros(3)
    row, column = np.ogrid[:100, :100]
    for _ in range(500):
        radius = 12.5 * np.exp(0.4 * rng.standard_normal())
        y, x = rng.uniform(-radius, 100 + radius, 2)
        table = measure((np.hypot(row - y, column - x) <= radius).astype(np.uint8), 100, 2.0)
        area = table["area_um2"] * (100 + 2 * radius) ** 2
        sums[0] += area.sum() * (radius > 10)
        sums[1] += area[table["ecd_um"] > 2].sum()
        sums[2] += area[table["counted_as"] == "silt"].sum()
    assert sums[1] < 0.95 * sums[0]
    assert sums[2] == pytest.approx(sums[0], rel=0.02)


def test_a_sliver_counts_for_at_most_four_times_what_is_seen() -> None:
    phases = np.zeros((40, 90), np.uint8)
    phases[0, 10:80] = Phase.SILT
    table = measure(phases)
    assert table["whole_ecd_um"] == pytest.approx(2 * table["ecd_um"])


def test_classes_of_pores_by_their_width() -> None:
    phases = np.zeros((40, 60), np.uint8)
    phases[5:9, 5:35] = Phase.PORE  # four pixels wide
    phases[20:30, 20:30] = Phase.SILT
    for nm, iupac, loucks in (
        (0.2, "micropore", "picopore"),
        (0.45, "micropore", "nanopore"),
        (10, "mesopore", "nanopore"),
        (20, "macropore", "nanopore"),
        (300, "macropore", "micropore"),
        (20_000, "macropore", "mesopore"),
    ):
        table = measure(phases, nm)
        assert list(table["pore_class_iupac"]) == [iupac, None]
        assert list(table["pore_class_loucks"]) == [loucks, None]


def test_mean_grey_and_confidence() -> None:
    phases = draw_disc(5)
    grey = np.arange(phases.size, dtype=np.uint8).reshape(phases.shape)
    labelling = label_mask(
        PhaseMask.from_array("a", phases),
        layers={"grey": lambda rows, columns: grey[rows, columns]},
    )
    table = measure_instances("a", labelling, PixelSize(NM, "test"), 2.0)
    assert table["mean_grey"].to_pylist() == [pytest.approx(grey[phases == 1].mean())]
    assert table["mean_confidence"].to_pylist() == [None]


def test_far_from_the_origin_nothing_is_lost() -> None:
    # Coordinate sums of a far object are large, its moments small: no digits may cancel.
    disc = np.pad(draw_disc(4.5), ((0, 0), (60_000, 0)))
    near, far = measure(draw_disc(4.5)), measure(disc)
    for name in ("major_axis_um", "minor_axis_um", "perimeter_um", "feret_min_um", "solidity"):
        assert far[name] == near[name]


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_rows_in_parts_are_those_of_the_whole(rows: int) -> None:
    rng = np.random.default_rng(5)
    phases = rng.choice(np.array([0, 1, 2, 255], np.uint8), (50, 40), p=[0.6, 0.2, 0.19, 0.01])
    labelling = label_mask(PhaseMask.from_array("a", phases), band_rows=9)
    columns = measure_objects(labelling, PixelSize(NM, "test"), 0.5)
    found = Instances("a", labelling, columns, PixelSize(NM, "test"))
    parts = [found.slice(start, rows) for start in range(0, found.num_rows, rows)]
    assert pa.concat_tables(parts).equals(found.slice())
    whole = measure_instances("a", labelling, PixelSize(NM, "test"), 0.5)
    assert whole.equals(found.slice())
