from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.types import Phase, PixelSize
from mudrock_cli.measure.groups import (
    assign_groups,
    compare_groups,
    describe_groups,
    read_grouping,
)
from mudrock_cli.measure.summary import Field, Grains


def test_pattern() -> None:
    grouping = read_grouping(r"(?P<sample>[A-Z]+)_(?P<depth>\d+)m")
    assert grouping.columns == ("sample", "depth")
    assert assign_groups(grouping, ["AB_120m_1", "C_7m"]) == [("AB", "120"), ("C", "7")]


def test_table(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    path.write_text("\ufeffname,sample,depth\nkumano_11.tif, A ,10\nkumano.12,B,20\n", "utf-8")
    grouping = read_grouping(str(path))
    assert grouping.columns == ("sample", "depth")
    assert assign_groups(grouping, ["kumano_11", "kumano.12"]) == [("A", "10"), ("B", "20")]


def test_an_image_without_a_group_is_named(tmp_path: Path) -> None:
    with pytest.raises(MudrockError, match=r"other and 1 more: no group"):
        assign_groups(read_grouping(r"(?P<sample>kumano)"), ["kumano_1", "other", "another"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,sample\n", "no groups"),
        ("name\nx\n", "no groups"),
        ("name,sample\nx,A\nx.tif,B\n", "line 3 names x again"),
        ("name,sample\nx,A,3\n", "line 2 has 3 cells"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "g.csv"
    path.write_text(text)
    with pytest.raises(MudrockError, match=message) as caught:
        read_grouping(str(path))
    assert caught.value.hint


def test_bad_patterns_and_missing_files() -> None:
    with pytest.raises(MudrockError, match="no regular expression"):
        read_grouping("(?P<sample")
    with pytest.raises(MudrockError, match="no named group"):
        read_grouping("kumano")
    with pytest.raises(MudrockError, match="cannot be read"):
        read_grouping("/nowhere/g.csv")


def make_field(ecd: npt.ArrayLike, porosity: float) -> Field:
    """A field of 25 blocks with pores of these diameters and no silt."""
    ecd = np.asarray(ecd, np.float64)
    blocks = np.zeros(len(ecd), np.intp)
    pores = Grains(ecd=ecd, area=ecd**2, weight=np.ones_like(ecd), block=blocks)
    nothing = Grains(*(np.zeros(0) for _ in range(3)), block=np.zeros(0, np.intp))
    areas = np.tile([1 - porosity, 0, porosity], (25, 1))
    grains = {Phase.PORE: pores, Phase.SILT: nothing}
    return Field(PixelSize(10, "test"), areas, np.zeros(25), 0, grains)


def test_comparison_of_shifted_sizes() -> None:
    size = np.random.default_rng(0).lognormal(0, 0.4, 500)
    row = compare_groups([make_field(size, 0.1)], [make_field(size + 2, 0.15)])
    assert row["images"] == 2
    assert row["pore_wasserstein_um"] == pytest.approx(2)
    assert row["pore_ks"] > 0.8
    assert row["pore_ks_p"] < 1e-6
    assert row["porosity_difference"] == pytest.approx(0.05)
    assert "silt_ks" not in row
    doubled = compare_groups([make_field(2 * size, 0.1)], [make_field(2 * (size + 2), 0.15)])
    assert doubled["pore_wasserstein_um"] == pytest.approx(4)
    assert doubled["pore_ks"] == row["pore_ks"]


def test_a_group_with_itself_and_with_nothing() -> None:
    field = make_field([1, 2, 3], 0.1)
    same = compare_groups([field], [field])
    assert (same["pore_ks"], same["pore_wasserstein_um"], same["porosity_difference"]) == (0, 0, 0)
    assert "pore_ks" not in compare_groups([make_field([], 0)], [field])


def test_a_table_tells_folders_apart(tmp_path: Path) -> None:
    path = tmp_path / "g.csv"
    path.write_text("name,sample\nA/01.tif,A\nA/02,A\nB/01.zarr,B\ndata/C/9.png,C\n", "utf-8")
    grouping = read_grouping(str(path))
    found = assign_groups(grouping, ["A/01", "A/02", "B/01", "C/9", "9", "x/A/02.tif"])
    assert [key[0] for key in found] == ["A", "A", "B", "C", "C", "A"]
    with pytest.raises(MudrockError, match="B/02: no group"):
        assign_groups(grouping, ["A/01", "B/02"])
    with pytest.raises(MudrockError, match="01: no group"):  # of two
        assign_groups(grouping, ["01"])


@pytest.mark.parametrize(
    ("header", "told"),
    [("name,sample,sample", "two columns are called sample"), ("name,,bed", "has no title")],
)
def test_columns_need_titles_of_their_own(tmp_path: Path, header: str, told: str) -> None:
    path = tmp_path / "g.csv"
    path.write_text(f"{header}\na,A,B\n", "utf-8")
    with pytest.raises(MudrockError, match=told):
        read_grouping(str(path))
    path.write_text("name,sample,,\na,A,,\nb,B\n", "utf-8")
    assert read_grouping(str(path)).columns == ("sample",)
    path.write_text("name,sample,\na,A,B\n", "utf-8")
    with pytest.raises(MudrockError, match="line 2 has 3 cells, the header 2"):
        read_grouping(str(path))


def test_codes_are_names_and_depths_numbers() -> None:
    def read(*texts: str) -> str:
        pattern = read_grouping("(?P<at>.+)")
        return describe_groups(pattern, texts).columns[0].type

    assert read("1E2", "7") == read("1_0", "7") == read("007", "8") == "category"
    assert read("-1.5", "+7.", ".5", "0", "0.25", "1200") == "float"


def test_one_object_against_one() -> None:
    row = compare_groups([make_field([1.0], 0.1)], [make_field([2.0], 0.1)])
    assert (row["pore_ks"], row["pore_ks_p"]) == (1.0, 1.0)
