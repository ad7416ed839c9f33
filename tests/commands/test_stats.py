"""What `stats` writes and says."""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from command_runs import ROOT, read_summary, run, stats
from drawn_images import draw_phases, save_mask
from PIL import Image

from mudrock_cli.commands.console import shorten_apart
from mudrock_cli.errors import ExitCode
from mudrock_cli.image.tiff import write_plane
from mudrock_cli.image.types import Phase
from mudrock_cli.measure.tables import read_table


def test_two_tables_are_written(mask_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "report.parquet"
    result = stats(mask_folder, "--out", out)
    assert result.exit_code == ExitCode.DONE, result.output
    instances, facts = read_table(out, "instances")
    assert facts["options"]["min_silt_um"] == 2.0
    frame = instances.to_pandas()
    assert set(frame["image"]) == {"a", "deep/b"}
    assert not frame.duplicated(["image", "label"]).any()
    # Each is measured in its own pixels.
    ratio = frame["area_um2"] / frame["area_px"]
    assert set(ratio[frame["image"] == "a"].round(9)) == {0.25}
    assert set(ratio[frame["image"] == "deep/b"].round(9)) == {1.0}
    rows = read_summary(out)
    assert [row["scope"] for row in rows] == ["image", "image", "pooled"]
    assert [row["pixel_size_nm"] for row in rows] == [500, 1000, None]
    assert rows[0]["pixel_size_source"] == "FEI tag 34682"
    assert rows[0]["mask"] == "../masks/a.tif"
    assert rows[0]["micrograph"] is None
    assert json.loads(rows[0]["provenance"])["method"] == "segment"
    assert rows[2]["pores"] == rows[0]["pores"] + rows[1]["pores"]


def test_the_closing_table_fits_and_agrees(mask_folder: Path, tmp_path: Path) -> None:
    long = mask_folder / f"{'a_name_too_long_for_any_table' * 3}.tif"
    (mask_folder / "a.tif").rename(long)
    result = stats(mask_folder, "--out", tmp_path / "r.parquet")
    table = result.stdout.split("pixel size")[0].splitlines()
    assert max(len(line) for line in table) <= 80
    assert "silt >2 µm %" in table[0]
    rows = read_summary(tmp_path / "r.parquet")
    pooled = next(line for line in table if line.startswith("all 2 images"))
    limits = [100 * rows[-1][f"porosity{ending}"] for ending in ("", "_low", "_high")]
    assert "{:.1f} {:.1f}–{:.1f}".format(*limits) in pooled
    first = next(line for line in table if "…" in line)
    limits = [100 * rows[0][f"porosity{ending}"] for ending in ("", "_within_field_low")]
    assert "{:.1f} {:.1f}–".format(*limits) in first
    assert f"{rows[-1]['silt_ecd_d50_area_um']:.3g}" in pooled
    assert "500 nm, FEI tag 34682 (1)" in result.stdout


def test_long_names_of_groups_stay_apart(tmp_path: Path) -> None:
    lines = ["name,sample,depth_m,bed"]
    for number, (depth, bed) in enumerate(product((1200, 1300), ("upper part", "lower part"))):
        lines.append(f"{number},A,{depth},{bed}")
        save_mask(tmp_path / "masks" / f"{number}.tif", draw_phases(number))
    (tmp_path / "g.csv").write_text("\n".join(lines))
    options = ("--out", tmp_path / "r.parquet", "--group", tmp_path / "g.csv")
    result = stats(tmp_path / "masks", *options)
    assert result.exit_code == ExitCode.DONE
    table = result.stdout.split("all 4 images")[0].splitlines()
    shown = [line[:18] for line in table if "…" in line]
    assert len(set(shown)) == 4
    assert max(map(len, table)) <= 80


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["short", "other"], ["short", "other"]),
        (["abcdefghijklm", "abcdefghijkln"], ["abcde…jklm", "abcde…jkln"]),
        (["Aabcdefghijklm", "Babcdefghijklm"], ["Aabcd…jklm", "Babcd…jklm"]),
        (["abcdefAghijklm", "abcdefBghijklm"], ["abcdefA…lm", "abcdefB…lm"]),
        (["a" * 12 + "X" + "b" * 12, "a" * 12 + "Y" + "b" * 12], ["…aaaaaaaX…", "…aaaaaaaY…"]),
        (
            ["a" * 45, "a" * 14 + "X" + "a" * 30, "a" * 30 + "X" + "a" * 14],
            ["…aaaaaaaa…", "…aaaaaaaX…", "…aaaaaaa#2"],
        ),
    ],
)
def test_names_are_cut_where_that_leaves_them_distinct(names: list[str], shown: list[str]) -> None:
    assert shorten_apart(names, 10) == shown


def test_json_lines(mask_folder: Path, tmp_path: Path) -> None:
    (mask_folder / "c.png").write_text("no image")
    result = stats(mask_folder, "--out", tmp_path / "r.parquet", "--json")
    assert result.exit_code == ExitCode.SOME_FAILED
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    by_kind = {line.get("scope", "error"): line for line in lines}
    assert list(by_kind) == ["image", "error", "pooled"]
    assert by_kind["error"]["input"].endswith("c.png")
    rows = read_summary(tmp_path / "r.parquet")
    assert by_kind["pooled"]["porosity"] == rows[-1]["porosity"]
    assert "pore_two_point" not in by_kind["image"]
    assert "NaN" not in result.stdout


def test_small_silt_goes_to_clay_and_both_numbers_stay(tmp_path: Path) -> None:
    phases = np.zeros((50, 50), np.uint8)
    phases[10:20, 10:20] = Phase.SILT  # ECD 11.3 pixels
    phases[30:34, 30:34] = Phase.SILT  # ECD 4.5 pixels
    save_mask(tmp_path / "m.tif", phases, 1000)
    found = {}
    for limit in ("0", "2um", "5 um", "20000nm"):
        stats(tmp_path / "m.tif", "--out", tmp_path / "r.parquet", "--min-silt", limit)
        row = read_summary(tmp_path / "r.parquet")[0]
        assert row["mask_silt_fraction"] == 116 / 2500
        found[limit] = (row["silt_fraction"], row["silt_grains"], row["small_silt_regions"])
    assert found == {
        "0": (116 / 2500, 2, 0),
        "2um": (116 / 2500, 2, 0),
        "5 um": (100 / 2500, 1, 1),
        "20000nm": (0, 0, 2),
    }


def test_micrographs_and_confidence_give_means(tmp_path: Path) -> None:
    phases = draw_phases(3)
    grey = np.where(phases == Phase.PORE, 10, 200).astype(np.uint8)
    confidence = np.where(phases == Phase.PORE, 255, 51).astype(np.uint8)
    save_mask(tmp_path / "masks" / "m.tif", phases, None)
    write_plane(tmp_path / "masks" / "m.confidence.tif", phases.shape, np.uint8, [confidence], None)
    (tmp_path / "images").mkdir()
    Image.fromarray(grey).save(tmp_path / "images" / "m.png")
    result = stats(
        tmp_path / "masks", "--out", tmp_path / "r.parquet", "--pixel-size", "500nm",
        "--micrographs", tmp_path / "images",
    )  # fmt: skip
    assert result.exit_code == ExitCode.DONE, result.output
    frame = read_table(tmp_path / "r.parquet", "instances")[0].to_pandas()
    pores = frame["phase"] == "pore"
    assert set(frame.loc[pores, "mean_grey"]) == {10}
    assert set(frame.loc[~pores, "mean_grey"]) == {200}
    assert set(frame.loc[pores, "mean_confidence"]) == {1}
    assert set(frame.loc[~pores, "mean_confidence"]) == {0.2}
    assert read_summary(tmp_path / "r.parquet")[0]["micrograph"] == "images/m.png"


def test_micrographs_that_do_not_fit_are_left_out(mask_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.fromarray(draw_phases(0)[:50]).save(tmp_path / "images" / "a.png")
    result = stats(
        mask_folder, "--out", tmp_path / "r.parquet", "--micrographs", tmp_path / "images"
    )
    assert result.exit_code == ExitCode.DONE
    assert "a.png: its size is not that of" in result.stderr
    assert "b.tif: no micrograph of its name" in result.stderr
    frame = read_table(tmp_path / "r.parquet", "instances")[0].to_pandas()
    assert frame["mean_grey"].isna().all()


def test_groups(tmp_path: Path) -> None:
    for seed, name in enumerate(["s1_top", "s1_base", "s2_top"]):
        save_mask(tmp_path / "masks" / f"{name}.tif", draw_phases(seed))
    out = tmp_path / "r.parquet"
    result = stats(tmp_path / "masks", "--out", out, "--group", "(?P<sample>s[0-9])_")
    assert result.exit_code == ExitCode.DONE, result.output
    rows = read_summary(out)
    assert [row["scope"] for row in rows[3:]] == ["group", "group", "comparison", "pooled"]
    assert [row["group"] for row in rows] == [
        "sample s1", "sample s1", "sample s2", "sample s1", "sample s2", "sample s1", None,
    ]  # fmt: skip
    assert rows[5]["other_group"] == "sample s2"
    assert rows[5]["porosity_difference"] == pytest.approx(
        rows[4]["porosity"] - rows[3]["porosity"]
    )
    assert "sample s1" in result.stdout

    assert "sample s2 less sample s1: porosity " in result.stdout
    assert [row["sample"] for row in rows] == ["s1", "s1", "s2", "s1", "s2", None, None]

    (tmp_path / "g.csv").write_text("name,bed\ns1_top,a\ns1_base,b\n")
    result = stats(tmp_path / "masks", "--out", out, "--group", tmp_path / "g.csv")
    assert result.exit_code == ExitCode.USAGE
    assert "s2_top: no group in" in result.stderr


def test_a_corrected_mask_replaces_the_one_beside_it(tmp_path: Path) -> None:
    phases = draw_phases(0)
    save_mask(tmp_path / "m" / "a.tif", phases)
    corrected = phases.copy()
    corrected[:20] = Phase.PORE
    Image.fromarray(corrected).save(tmp_path / "m" / "a.png")
    save_mask(tmp_path / "m" / "b.tif", phases)
    Image.fromarray(np.arange(12000, dtype=np.uint8).reshape(100, 120)).save(tmp_path / "m/b.png")
    out = tmp_path / "r.parquet"
    result = stats(tmp_path / "m", "--out", out)
    assert result.exit_code == ExitCode.SOME_FAILED  # b.png is the micrograph of b.tif
    assert "the corrected a.png is taken" in result.stderr
    rows = read_summary(out)
    assert rows[0]["pixel_size_nm"] == 500
    assert rows[0]["pixel_size_source"].endswith("in a.tif beside it")
    assert [row["mask"] for row in rows if row["scope"] == "image"] == ["m/a.png", "m/b.tif"]
    assert rows[0]["porosity"] == np.mean(corrected == Phase.PORE)
    Image.fromarray(corrected).save(tmp_path / "m" / "a.bmp")
    result = stats(tmp_path / "m", "--out", out, "--pixel-size", "500nm")
    assert result.exit_code == ExitCode.USAGE
    assert "masks of one image" in result.stderr


def test_pixel_sizes_fill_in_what_is_missing_and_override_when_told(tmp_path: Path) -> None:
    for name, nm in (("a", None), ("b", 500), ("c", 5000)):
        save_mask(tmp_path / "m" / f"{name}.tif", draw_phases(0), nm)
    out = tmp_path / "r.parquet"

    def sizes(*options: str | Path) -> dict[str, tuple[float, str]]:
        result = stats(tmp_path / "m", "--out", out, *options)
        assert result.exit_code == ExitCode.DONE, result.output
        said.append(result.stderr)
        rows = [row for row in read_summary(out) if row["scope"] == "image"]
        return {row["image"]: (row["pixel_size_nm"], row["pixel_size_source"]) for row in rows}

    said: list[str] = []
    own = "FEI tag 34682"
    given = ("--pixel-size", "600nm")
    assert sizes(*given) == {"a": (600, "--pixel-size"), "b": (500, own), "c": (5000, own)}
    assert "b.tif: its own pixel size of 500 nm (FEI tag 34682) is kept, not 600 nm" in said[-1]
    assert "8.33 times apart; where the file is wrong" in said[-1]
    found = sizes(*given, "--override-pixel-size")
    assert found == dict.fromkeys("abc", (600, "--pixel-size"))
    assert "is kept" not in said[-1]
    table = tmp_path / "sizes.csv"
    table.write_text("name,pixel_size_nm\na.tif,700\nc,5000\n")
    found = sizes("--pixel-size", table)
    assert found == {"a": (700, "sizes.csv"), "b": (500, own), "c": (5000, own)}
    assert "is kept" not in said[-1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name,pixel_size_nm\na,ten\n", "line 2: 'ten' is no pixel size in nm"),
        ("name,pixel_size_nm\na,-1\n", "line 2: '-1' is no pixel size"),
        ("name,pixel_size_nm\na,1\na.tif,2\n", "line 3 names a again"),
        ("name,pixel_size_nm\n", "no pixel sizes in it"),
        ("name,size\na,1\n", "is no pixel size"),
    ],
)
def test_a_wrong_table_of_pixel_sizes(mask_folder: Path, text: str, told: str) -> None:
    table = mask_folder / "sizes.csv"
    table.write_text(text)
    result = stats(mask_folder, "--out", mask_folder / "r.parquet", "--pixel-size", table)
    assert result.exit_code == ExitCode.USAGE
    assert told in result.stderr
    assert result.stderr.count("hint: ") == 1


def test_what_a_group_is_described_by_is_a_column_of_its_own(tmp_path: Path) -> None:
    for seed, name in enumerate("abc"):
        save_mask(tmp_path / "masks" / f"{name}.tif", draw_phases(seed))
    table = "name,phase,depth_m,plug\na,mud,1200.5,007\nb,mud,1300,007\nc,silt,,010\n"
    (tmp_path / "g.csv").write_text(table)
    result = stats(
        tmp_path / "masks", "--out", tmp_path / "r.parquet", "--group", tmp_path / "g.csv"
    )
    assert result.exit_code == ExitCode.DONE, result.output
    frame = read_table(tmp_path / "r.parquet", "instances")[0].to_pandas()
    assert set(frame["phase"]) == {"silt", "pore"}  # mudrock's own column stays
    own = frame.drop_duplicates("image").set_index("image")
    assert list(own.loc[list("abc"), "group_phase"]) == ["mud", "mud", "silt"]
    assert list(own.loc[list("ab"), "depth_m"]) == [1200.5, 1300.0]
    assert own.loc[["c"], "depth_m"].isna().all()
    assert list(own.loc[list("abc"), "plug"]) == ["007", "007", "010"]  # a name, no number
    rows = read_summary(tmp_path / "r.parquet")
    groups = {row["group"]: row["depth_m"] for row in rows if row["scope"] == "group"}
    assert groups["phase mud, depth_m 1300, plug 007"] == 1300.0


@pytest.mark.parametrize("ending", [".csv", ".xlsx"])
def test_tables_for_a_spreadsheet(mask_folder: Path, tmp_path: Path, ending: str) -> None:
    result = stats(mask_folder, "--out", tmp_path / f"r{ending}")
    assert result.exit_code == ExitCode.DONE, result.output
    assert f"r.summary{ending}" in result.stdout.replace("\n", " ")
    assert {path.name for path in tmp_path.glob("r*")} == {f"r{ending}", f"r.summary{ending}"}


def test_masks_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for place in ("one", "two"):
        save_mask(tmp_path / place / "m.tif", draw_phases(0))
    paths = [tmp_path / place / "m.tif" for place in ("one", "two")]
    assert stats(*paths, "--out", tmp_path / "r.parquet").exit_code == ExitCode.DONE
    names = [row["image"] for row in read_summary(tmp_path / "r.parquet")[:2]]
    assert names == [str(path.with_suffix("")) for path in paths]


@pytest.mark.parametrize("value", [Phase.CLAY, Phase.SILT, Phase.PORE])
def test_one_phase_alone_warns_little(tmp_path: Path, value: Phase) -> None:
    save_mask(tmp_path / "m.tif", np.full((60, 50), value, np.uint8))
    result = stats(tmp_path / "m.tif", "--out", tmp_path / "r.parquet")
    assert result.exit_code == ExitCode.DONE
    assert len(result.stderr.splitlines()) <= 2
    row = read_summary(tmp_path / "r.parquet")[0]
    assert row["porosity"] == float(value == Phase.PORE)
    assert (row["pore_ecd_d50_number_um"] is None) == (value != Phase.PORE)


def test_heavy_libraries_are_left_alone(mask_folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['mudrock', 'stats', sys.argv[1], '--out', sys.argv[2]]\n"
        "from mudrock_cli.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "heavy = {'keras', 'tensorflow', 'torch', 'jax', 'openvino', 'matplotlib', 'pandas',"
        " 'sklearn'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, mask_folder, tmp_path / "r.parquet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_least_pore_is_told_wherever_pores_are_counted(tmp_path: Path) -> None:
    phases = np.zeros((100, 100), np.uint8)
    phases[10:14, 10:14] = phases[30:60, 30:60] = Phase.PORE  # ECD 45 and 339 nm
    save_mask(tmp_path / "a.tif", phases, 10)
    out = tmp_path / "r.parquet"
    told = stats(tmp_path / "a.tif", "--out", out, "--min-pore", "50nm")
    assert told.exit_code == ExitCode.DONE
    assert "pores: 0.05 µm and larger; 1 smaller ones hold 0.16 % of the area" in told.stdout
    assert read_table(out, "instances")[1]["options"]["min_pore_um"] == 0.05
    for row in read_summary(out):
        assert (row["pores"], row["small_pores"], row["min_pore_um"]) == (1, 1, 0.05)
        assert row["porosity"] == pytest.approx(0.0916)
        assert row["small_pore_fraction"] == pytest.approx(0.0016)
    assert run("report", out, "--out", tmp_path / "r.html").exit_code == ExitCode.DONE
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "--min-pore 0.05um" in page
    assert "1 pores of 0.05 µm and larger" in page
    assert "smaller ones, 0.16 % of the area, are in the porosity alone" in page
    assert "1 pores under 0.05 µm, 0.16 % of the area, are not counted" in page
    failed = stats(tmp_path / "a.tif", "--out", out, "--min-pore", "small")
    assert failed.exit_code == ExitCode.USAGE
    assert "--min-pore" in failed.stderr


def test_touching_grains_are_divided_on_request(tmp_path: Path) -> None:
    row, column = np.ogrid[:60, :100]
    phases = np.zeros((60, 100), np.uint8)
    for middle in (32, 66):
        phases[np.hypot(row - 30, column - middle) <= 18] = Phase.SILT
    save_mask(tmp_path / "a.tif", phases)
    counts = []
    for options in ((), ("--split",)):
        out = tmp_path / "r.parquet"
        assert stats(tmp_path / "a.tif", "--out", out, *options).exit_code == ExitCode.DONE
        found, pooled = read_summary(out)
        counts.append((found["silt_grains"], found["silt_regions"], pooled["silt_regions"]))
    assert counts == [(1, None, None), (2, 1, 1)]
    assert read_table(out, "instances")[1]["options"]["split"] is True
    assert run("report", out, "--out", tmp_path / "r.html").exit_code == ExitCode.DONE
    assert "--split" in (tmp_path / "r.html").read_text(encoding="utf-8")
