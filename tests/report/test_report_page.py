"""The page itself, without a browser."""

import csv
import os
import shutil
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from mudrock_cli.cli import app
from mudrock_cli.image.mask import PhaseMask, write_mask
from mudrock_cli.image.types import PixelSize
from mudrock_cli.report.tables import format_share, read_tables


class Page(HTMLParser):
    """Tags, ids and text of a page; stumbles over tags that are not closed."""

    VOID = frozenset({"meta", "link", "img", "input", "br", "path", "use"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.links: list[str] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        facts = dict(attrs)
        if facts.get("id"):
            self.ids[str(facts["id"])] += 1
        links = (facts.get(name) for name in ("src", "href", "xlink:href"))
        self.links += [link for link in links if link]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in self.VOID:
            return
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)


def read_page(path: Path) -> Page:
    return Page(path.read_text("utf-8"))


def test_answer_stands_first_and_is_that_of_the_table(field: Any) -> None:
    text = " ".join("".join(read_page(field.page).words).split())
    pooled = read_tables(field.table).pooled
    porosity, interval = format_share(pooled, "porosity")
    assert interval
    first = text.index("2 micrographs, porosity is")
    assert text.index(porosity.replace("\xa0", " ")) < text.index("Before you use these figures")
    assert first < text.index("Before you use these figures") < text.index("All images together")
    assert interval.replace("\xa0", " ") in text
    assert "The images have different pixel sizes" in text


def test_page_is_well_formed_and_needs_nothing_else(field: Any) -> None:
    page = read_page(field.page)
    assert set(page.ids.values()) == {1}
    for link in page.links:
        assert link.startswith(("data:", "#")), link
        assert not link.startswith("#") or link[1:] in page.ids
    text = field.page.read_text("utf-8")
    assert "url(http" not in text
    assert "@import" not in text
    assert field.page.stat().st_size < 2_000_000


def test_names_are_shown_and_never_run(field: Any) -> None:
    text = field.page.read_text("utf-8")
    assert "<b onclick" not in text
    page = read_page(field.page)
    assert page.tags["script"] == 3
    assert "a <b onclick=alert(1)> & 'c' \"d\"" in "".join(page.words)


def test_a_viewer_with_and_one_without_its_micrograph(field: Any) -> None:
    page = read_page(field.page)
    text = "".join(page.words)
    assert page.tags["canvas"] == 2
    assert text.count("The micrograph was not found; the mask is shown alone.") == 1


def test_a_scale_bar_stands_above_the_data_bar(field: Any) -> None:
    page = field.page.read_text(encoding="utf-8")
    assert page.count("bottom: calc(10px + 6.67%)") == 2  # 20 of 300 rows show no specimen


def test_masks_that_are_gone_or_changed_leave_a_sentence(field: Any, tmp_path: Path) -> None:
    for name in ("report.parquet", "report.summary.parquet"):
        shutil.copy(field.folder / name, tmp_path)
    size = PixelSize(100.0, "test")
    changed = PhaseMask.from_array("plain", np.zeros((300, 400), np.uint8), size)
    write_mask(tmp_path / "masks" / "plain.tif", changed)
    result = CliRunner().invoke(app, ["report", str(tmp_path / "report.parquet")])
    assert result.exit_code == 0
    assert "no mask to show for" in result.stderr
    text = "".join(read_page(tmp_path / "report.html").words)
    assert "has changed since it was measured" in text
    assert "was not found." in text


def test_figures_are_saved_too(field: Any) -> None:
    figures = field.folder / "figures"
    stems = {path.stem for path in figures.iterdir()}
    assert {"comparison_porosity", "pooled_pore_sizes", "plain_silt_cumulative"} <= stems
    assert all((figures / f"{stem}.pdf").is_file() for stem in stems)


@pytest.mark.parametrize("phase", [0, 1])
def test_an_image_without_pores(phase: int, tmp_path: Path) -> None:
    phases = np.full((60, 70), phase, np.uint8)
    mask = PhaseMask.from_array("m", phases, PixelSize(100.0, "test"))
    write_mask(tmp_path / "m.tif", mask)
    table = tmp_path / "r.parquet"
    stats = ["stats", str(tmp_path / "m.tif"), "--out", str(table)]
    for arguments in (stats, ["report", str(table)]):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
    assert "m" in "".join(read_page(tmp_path / "r.html").words)


def test_groups_are_compared(field: Any, tmp_path: Path) -> None:
    table = tmp_path / "g.parquet"
    pattern = r"(?P<bed>plain|a) ?"
    for arguments in (
        ["stats", str(field.folder / "masks"), "--out", str(table), "--group", pattern],
        ["report", str(table)],
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
    text = "".join(read_page(tmp_path / "g.html").words)
    assert "bed plain" in text
    assert "Between groups" in text
    assert "Wasserstein" in text


def test_a_folder_is_enough(field: Any, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    shutil.copytree(field.folder / "masks", masks)
    for made in (True, False):  # measured first, then found
        result = CliRunner().invoke(app, ["report", str(masks)])
        assert result.exit_code == 0, result.output
        assert ("grains and pores of 2 masks" in result.stdout.replace("\n", " ")) == made
        assert "2 micrographs" in "".join(read_page(masks / "report.html").words)
    assert "new or changed" not in result.stderr
    later = (masks / "report.parquet").stat().st_mtime + 5
    shutil.copy(masks / "plain.tif", masks / "late.tif")
    Image.new("RGB", (9, 9), "blue").save(masks / "figure.png")  # no mask
    void = PhaseMask.from_array("plain", np.zeros((300, 400), np.uint8), PixelSize(100.0, "test"))
    write_mask(masks / "plain.tif", void)
    os.utime(masks / "plain.tif", (later, later))
    result = CliRunner().invoke(app, ["report", str(masks)])
    assert result.exit_code == 0, result.output
    told = " ".join(result.stderr.split())
    assert "warning: late.tif, plain.tif: new or changed since" in told
    assert f"mudrock stats {masks} --out {masks / 'report.parquet'} measures again" in told
    for name in ("report.parquet", "report.summary.parquet"):
        shutil.copy(masks / name, masks / f"other.{name.partition('.')[2]}")
    result = CliRunner().invoke(app, ["report", str(masks)])
    assert result.exit_code == 2
    assert "2 tables of mudrock stats" in result.stderr
    (tmp_path / "empty").mkdir()
    assert CliRunner().invoke(app, ["report", str(tmp_path / "empty")]).exit_code == 2
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_mask_that_fails_is_told_behind_the_page(field: Any, tmp_path: Path) -> None:
    shutil.copytree(field.folder / "masks", tmp_path / "masks")
    (tmp_path / "masks" / "c.png").write_text("no image")
    result = CliRunner().invoke(app, ["report", str(tmp_path / "masks")])
    assert result.exit_code == 1
    assert "c.png" in result.stderr
    assert (tmp_path / "masks" / "report.html").is_file()


def read_text(path: Path) -> str:
    return " ".join("".join(read_page(path).words).split())


def test_depths_are_drawn_where_a_group_tells_them(field: Any, tmp_path: Path) -> None:
    names = sorted(path.stem for path in (field.folder / "masks").iterdir())
    with (tmp_path / "g.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [("name", "depth_m"), *zip(names, (1310.5, 1200), strict=True)]
        )
    run_all(
        ["stats", field.folder / "masks", "--out", tmp_path / "d.parquet", "--group",
         tmp_path / "g.csv"],
        ["report", tmp_path / "d.parquet", "--figures", tmp_path / "figures"],
    )  # fmt: skip
    assert "Against depth" in read_text(tmp_path / "d.html")
    assert (tmp_path / "figures" / "depth_porosity.svg").is_file()
    svg = (tmp_path / "figures" / "depth_porosity.svg").read_text("utf-8")
    assert "depth (m)" in svg
    assert "Against depth" not in read_text(field.page)


def run_all(*commands: list[Any]) -> None:
    for arguments in commands:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output


MODEL = {"name": "m", "sha256": "1" * 64}
HELD_OUT = {"images": 6, "iou": {"pore": 0.77, "silt": 0.83, "clay": None}}
ERRORS = {"porosity_error_points": 0.94, "silt_error_points": 2.04}


@pytest.mark.parametrize(
    ("provenance", "said", "unsaid"),
    [
        ({"model": MODEL | {"held_out": HELD_OUT | ERRORS}, "outlines": "labels"},
         ["On 6 images that it had not seen, the model m was off by 0.94 points in porosity and "
          "2.0 points in the silt fraction on average. Its overlap with the labels was 0.77 for "
          "pores and 0.83 for silt", "both fractions read low", "outlines labels"], []),
        ({"model": MODEL | {"held_out": HELD_OUT | {"pipeline": "with an earlier pipeline"}},
          "options": {"outlines": "exact"}},
         ["the model m had an overlap with the labels of 0.77 for pores", "the visible ones",
          "That was with an earlier pipeline."],
         ["was off by"]),
        ({"model": {"name": "m", "sha256": "1"},
          "results": {"model_judged": False, "outside_domain": ["fine_texture"],
                      "resample_factor": 2.6}},
         ["never judged on images", "unlike those that the model was trained on (fine texture)",
          "enlarged 2.6 times"], ["held", "Outlines"]),
        ({"model": MODEL | {"held_out": {"images": [], "iou": 3}}, "outlines": {"a": 1}},
         ["not the errors of the masks"], ["overlap", "Outlines"]),
    ],
)  # fmt: skip
def test_the_page_tells_what_no_interval_holds(
    provenance: dict[str, Any], said: list[str], unsaid: list[str], tmp_path: Path
) -> None:
    phases = np.zeros((90, 90), np.uint8)
    phases[10:60, 10:60], phases[70:75, 70:75] = 1, 2
    mask = PhaseMask.from_array("m", phases, PixelSize(100.0, "test"), provenance)
    write_mask(tmp_path / "m.tif", mask)
    run_all(["stats", tmp_path / "m.tif", "--out", tmp_path / "r.parquet"])
    run_all(["report", tmp_path / "r.parquet"])
    text = read_text(tmp_path / "r.html").split("What each measure means")[0]
    assert "Clay is all that is neither pore nor silt: organic matter and pyrite too" in text
    for words in said:
        assert words in text
    for words in unsaid:
        assert words not in text


def test_missing_and_foreign_files(field: Any, tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("no table")
    shutil.copy(field.folder / "report.summary.parquet", tmp_path / "text.summary.parquet")
    shutil.copy(field.table, tmp_path / "alone.parquet")
    for name, message in {
        "nowhere.parquet": "not there",
        "text.parquet": "no Parquet",
        "alone.parquet": "alone.summary.parquet: not there",
    }.items():
        result = CliRunner().invoke(app, ["report", str(tmp_path / name)])
        assert result.exit_code == 1
        assert message in result.stderr


@pytest.mark.parametrize(
    ("column", "message"), [("pores", "an image without pores"), ("pixel_size_nm", "pixel_size_nm")]
)
def test_a_damaged_summary_is_a_line(field: Any, tmp_path: Path, column: str, message: str) -> None:
    summary = pq.read_table(field.folder / "report.summary.parquet")
    place, nothing = summary.column_names.index(column), pa.nulls(len(summary))
    kind = summary.schema.field(place)
    damaged = summary.set_column(place, kind, nothing.cast(kind.type))
    shutil.copy(field.table, tmp_path / "r.parquet")
    pq.write_table(damaged, tmp_path / "r.summary.parquet")
    result = CliRunner().invoke(app, ["report", str(tmp_path / "r.parquet")])
    assert result.exit_code == 1
    assert message in result.stderr


@pytest.mark.parametrize("options", [["a"], {"min_silt_um": "two"}, None])
def test_options_of_another_kind_are_left_out(field: Any, options: object) -> None:
    from mudrock_cli.commands.report import _list_provenance

    tables = read_tables(field.table)
    facts = _list_provenance(replace(tables, facts={**tables.facts, "options": options}), [])
    assert [fact.text for fact in facts if fact.title == "options of stats"] == ["none"]


def test_a_damaged_micrograph_is_left_out(field: Any, tmp_path: Path) -> None:
    for name in ("report.parquet", "report.summary.parquet"):
        shutil.copy(field.folder / name, tmp_path / name)
    shutil.copytree(field.folder / "masks", tmp_path / "masks")
    grey = np.asarray(Image.open(field.folder / "grey" / "plain.png"))
    image = tmp_path / "grey" / "plain.tif"
    image.parent.mkdir()
    tifffile.imwrite(image, grey, compression="zlib", rowsperstrip=50)
    with tifffile.TiffFile(image) as opened:
        place = opened.pages[0].dataoffsets[3]
    with image.open("r+b") as stream:
        stream.seek(place)
        stream.write(b"\xff" * 40)
    words = ["report", str(tmp_path / "report.parquet"), "--micrographs", str(image.parent)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    told = " ".join(result.stderr.split())
    assert f"warning: {image}: cannot be read" in told
    assert "plain is shown without it" in told
    assert "no mask to show" not in told


def test_an_empty_summary(field: Any, tmp_path: Path) -> None:
    shutil.copy(field.table, tmp_path / "r.parquet")
    summary = pq.read_table(field.folder / "report.summary.parquet")
    pq.write_table(summary.slice(0, 0), tmp_path / "r.summary.parquet")
    result = CliRunner().invoke(app, ["report", str(tmp_path / "r.parquet")])
    assert result.exit_code == 1
    assert "no image in the summary" in result.stderr


@pytest.mark.parametrize("arguments", [["--out", "page.pdf"], ["--micrographs", "nowhere"]])
def test_wrong_options(field: Any, arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["report", str(field.table), *arguments])
    assert result.exit_code == 2


def test_an_output_that_cannot_be_written(field: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "page.html"
    result = CliRunner().invoke(app, ["report", str(field.table), "--out", str(out)])
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
