from pathlib import Path

import numpy as np
import pytest

from mudrock_cli.errors import MudrockError
from mudrock_cli.measure.groups import assign_groups, compare_groups, read_grouping


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


def test_comparison_of_shifted_sizes() -> None:
    rng = np.random.default_rng(0)
    size = rng.lognormal(0, 0.4, 500)
    blocks = np.full(25, 0.1), np.ones(25), np.zeros(25)
    more = np.full(25, 0.15), np.ones(25), np.zeros(25)
    result = compare_groups(size, size + 2, blocks, more)
    assert result.wasserstein_um == pytest.approx(2)
    assert result.ks > 0.8
    assert result.ks_p < 1e-6
    assert result.porosity_difference.value == pytest.approx(0.05)
    doubled = compare_groups(2 * size, 2 * (size + 2), blocks, more)
    assert doubled.wasserstein_um == pytest.approx(4)
    assert doubled.ks == result.ks


def test_a_group_with_itself_and_with_nothing() -> None:
    blocks = np.arange(25.0), np.full(25, 100.0), np.zeros(25)
    same = compare_groups([1, 2, 3], [1, 2, 3], blocks, blocks)
    assert (same.ks, same.wasserstein_um, same.porosity_difference.value) == (0, 0, 0)
    assert same.porosity_difference.low < 0 < same.porosity_difference.high
    assert np.isnan(compare_groups([], [1], blocks, blocks).ks)
