import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mudrock_cli.errors import MudrockError
from mudrock_cli.measure.spatial import AxialMean
from mudrock_cli.report.figures import (
    PERCENT,
    draw_cumulative,
    draw_estimates,
    draw_representativeness,
    draw_ripley,
    draw_rose,
    draw_sizes,
    draw_spheres,
    draw_two_point,
    figure_style,
    inline_svg,
    lack_letters,
    name_files,
    save_figures,
    to_svg,
)

SIZES = np.geomspace(0.01, 3, 20)
SHARE = np.linspace(0, 1, 20)


def _all_figures() -> dict[str, Figure]:
    curve = SHARE, SHARE * 0.9, np.minimum(1, SHARE * 1.1)
    blank = SHARE, SHARE * np.nan, SHARE * np.nan
    edges = np.linspace(0, np.pi, 19)
    return {
        "estimates": draw_estimates(
            "P", "pore", [("a", 0.1, 0.05, 0.2), ("b", 0.0, np.nan, np.nan)]
        ),
        "sizes": draw_sizes("pore", SIZES, SHARE[1:], SHARE[:0:-1], 0.03),
        "cumulative": draw_cumulative("silt", SIZES, curve, blank, None),
        "rose": draw_rose("silt", edges, np.full(18, 1 / 18), AxialMean(np.nan, 0, 18, np.nan)),
        "window": draw_representativeness({"pore": (SIZES, 0.2 / SIZES)}),
        "ripley": draw_ripley({"pore": (SIZES, SIZES * 1.1, 0.02)}),
        "two_point": draw_two_point(SIZES, {"pore": SHARE[::-1]}),
        "spheres": draw_spheres(SIZES, SHARE, SHARE / 2, SHARE * 2),
    }


def test_ticks_tell_their_decimals_and_chance_draws_no_mean() -> None:
    assert [PERCENT(share) for share in (0.025, 0.1, 5)] == ["2.5 %", "10 %", "500 %"]
    edges, shares = np.linspace(0, np.pi, 19), np.full(18, 1 / 18)
    for p, told, lines in ((0.01, "mean 90°, strength 0.40", 1), (0.3, "no common direction", 0)):
        figure = draw_rose("pore", edges, shares, AxialMean(np.pi / 2, 0.4, 12, p))
        assert any(told in text.get_text() for text in figure.texts)
        assert len(figure.axes[0].lines) == lines


def test_figures_stand_beside_each_other_on_one_page() -> None:
    pages = [
        inline_svg(to_svg(figure), f"k{i}", "what <it> shows")
        for i, figure in enumerate(_all_figures().values())
    ]
    ids = [found for page in pages for found in re.findall(r' id="([^"]+)"', page)]
    assert len(ids) == len(set(ids))
    for page in pages:
        root = ElementTree.fromstring(page)
        assert root.get("aria-label") == "what <it> shows"
        used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', page))
        assert used <= set(re.findall(r' id="([^"]+)"', page))
        assert "<style" not in page
        assert "font-family" not in page
        assert len(page) < 40_000


def test_shortening_coordinates_leaves_labels_alone() -> None:
    figure = Figure((3, 2))
    axes = figure.add_subplot()
    axes.set_title("0.0125 of 1.23456")
    assert "0.0125 of 1.23456" in inline_svg(to_svg(figure), "a", "")


def test_a_limit_is_drawn_where_it_lies_in_the_axis() -> None:
    text = "not resolved"
    assert text in to_svg(draw_sizes("pore", SIZES, SHARE[1:], SHARE[1:], 0.03))
    assert text not in to_svg(draw_sizes("pore", SIZES, SHARE[1:], SHARE[1:], 0.001))


def test_figures_are_saved_for_a_paper(tmp_path: Path) -> None:
    named = name_files(
        {"image a/b": {"pores": Figure((3, 2))}, "image a_b": {"pores": Figure((3, 2))}}
    )
    files = save_figures(tmp_path / "figures", named)
    assert sorted(path.name for path in files) == sorted(
        f"{stem}.{ending}"
        for stem in ("a_b_pores", "a_b_pores_2")
        for ending in ("svg", "pdf", "png")
    )
    with Image.open(tmp_path / "figures" / "a_b_pores.png") as picture:
        assert picture.size == (900, 600)
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    assert (tmp_path / "figures" / "a_b_pores.pdf").read_bytes().startswith(b"%PDF")
    assert not list((tmp_path / "figures").glob(".*"))


def test_a_name_is_never_a_formula() -> None:
    names = ["core$1_a^{b$", "c$2$"]
    with figure_style():
        figure = Figure()
        figure.add_subplot().set_yticks([0, 1], names)
        svg = to_svg(figure)
    assert all(name in svg for name in names)
    assert not lack_letters(names)
    assert lack_letters(["\U000f0000"])  # a private one: no font has it


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MudrockError, match="cannot be written"):
        save_figures(tmp_path / "file", {"a": Figure()})
