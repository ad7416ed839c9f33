"""What is printed while a batch runs."""

import re
from pathlib import Path

import pytest
from command_runs import run

from mudrock_cli.commands import console as printed
from mudrock_cli.commands.console import Console, format_duration
from mudrock_cli.deeplab.model import TrainedModel
from mudrock_cli.errors import ExitCode


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "<1 s"), (42, "42 s"), (100, "2 min"), (5000, "83 min"), (9000, "2 h 30 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_without_a_terminal_a_line_tells_the_expected_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(printed.time, "monotonic", lambda: now[0])
    with Console("images", 11) as console:
        console.count(at_once=True)  # a mask that was there tells nothing of the others' time
        now[0] += 20
        with console.image("large.tif") as advance:
            advance(1, 4)  # too early for a line
            now[0] += 20
            advance(2, 4)
        console.count()
    (line,) = capsys.readouterr().err.splitlines()
    # half an image took 40 s, so the 9.5 that are left take 760
    assert re.fullmatch(
        r"1 of 11 images, 50% of large.tif; about 13 min to go, until .*\d\d:\d\d", line
    )


def test_of_many_warnings_of_a_kind_the_inputs_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Console("masks", 9) as console:
        for name in "abcdef":
            console.warn("no micrograph", f"folder/{name}.tif: no micrograph of its name in there")
        console.warn("one field", "a: one field only")
        console.end()
    assert capsys.readouterr().err.splitlines() == [
        "warning: folder/a.tif: no micrograph of its name in there",
        "warning: a: one field only",
        "warning: 6 masks in all: no micrograph (a.tif, b.tif, c.tif, d.tif, 2 more)",
    ]


def test_a_batch_prints_its_progress_and_nothing_of_it_on_stdout(
    image_folder: Path,
    tmp_path: Path,
    tiny_model: TrainedModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(printed, "_SECONDS_BETWEEN_LINES", 0.0)
    words = ("segment", image_folder, "--model", tiny_model.path, "--out", tmp_path / "m")
    result = run(*words, "--pixel-size", "10nm")
    assert result.exit_code == ExitCode.DONE
    lines = [line for line in result.stderr.splitlines() if " of 3 images" in line]
    assert any(line.startswith("0 of 3 images") and "of a.tif" in line for line in lines)
    assert any(line.startswith("2 of 3 images; about ") for line in lines)
    assert "to go, until" in lines[-1]
    assert "of 3 images" not in result.stdout


@pytest.mark.parametrize("columns", [80, 120])
def test_figures_of_a_summary_are_never_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))

    def describe(name: str, scope: str = "image", **more: object) -> dict[str, object]:
        row = {"scope": scope, "image": name, "images": 1, "min_silt_um": 2.0, "pores": 152_000}
        row |= {"silt_grains": 12, "pore_ecd_d50_area_um": 0.314, "silt_ecd_d50_area_um": 3.79}
        for stem, values in (("porosity", (0.152, 0.137)), ("silt_fraction", (0.347, 0.101))):
            row[stem] = values[0]
            for key in (stem, f"{stem}_within_field"):
                row |= {f"{key}_low": values[1], f"{key}_high": 1.0}
        return row | more

    rows = [describe(f"Kumano_site_C0002_cuttings_frame_{number}") for number in (1, 2)]
    rows.append(describe("", "pooled", images=2, pores=304_000))
    printed.print_table(printed.tabulate_summary(rows))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    for line, pores in zip(lines[1:4], (152_000, 152_000, 304_000), strict=True):
        assert line.endswith(f"15.2 13.7–100.0  34.7 10.1–100.0  {pores}   0.314      12    3.79")
    assert lines[1].split()[0] != lines[2].split()[0]
