import json
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from mudrock_cli.cli import app
from mudrock_cli.deeplab.model import TrainedModel
from mudrock_cli.errors import ExitCode

KUMANO = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "kumano"
Grey = npt.NDArray[np.uint8]

PHASES = np.zeros((60, 80), np.uint8)
PHASES[5:30, 5:40] = 1
PHASES[35:50, 50:70] = 2
PHASES[:, :2] = 255


def evaluate(*arguments: str | Path) -> Result:
    words = ["evaluate", *map(str, arguments)]
    return CliRunner().invoke(app, words, env={"COLUMNS": "80", "NO_COLOR": "1"})


def save(path: Path, values: Grey) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three images whose grey levels the threshold network gets right, with labels."""
    for name in ("a", "b", "c"):
        greys = np.select([PHASES == 1, PHASES == 2], [230, 20], 120).astype(np.uint8)
        save(tmp_path / "data" / "images" / f"{name}.tif", greys)
        save(tmp_path / "data" / "labels" / f"{name}.png", PHASES)
    return tmp_path / "data"


@pytest.fixture
def masks(tmp_path: Path, data: Path) -> Path:
    """Masks for the labels, wrong by 100 pixels each."""
    wrong = PHASES.copy()
    wrong[50:60, 10:20] = 1
    for name in ("a", "b", "c"):
        save(tmp_path / "mine" / f"{name}.png", wrong)
    return tmp_path / "mine"


def test_masks_against_labels(data: Path, masks: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = evaluate(masks, data, "--out", out, "--pixel-size", "10nm", "--tolerance", "30nm")
    assert result.exit_code == ExitCode.DONE, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    table = pq.read_table(out / "scores.parquet").to_pylist()
    assert [row["image"] for row in table] == ["a", "b", "c", None, None]
    assert {row["iou_silt"] for row in table} == {875 / 975}
    assert table[0]["pixels"] == 60 * 78
    assert table[0]["fraction_silt_error_points"] == pytest.approx(100 * 100 / (60 * 78))
    assert table[0]["ecd_distance_silt_um"] > 0
    assert table[0]["boundary_f1_pore"] == 1
    for name in ("evaluation.png", "evaluation.svg", "triptychs/mine/b.png"):
        assert (out / name).stat().st_size > 1000
    assert not list(out.rglob(".*"))


def test_labels_of_pores_alone_judge_pores(data: Path, masks: Path, tmp_path: Path) -> None:
    """Clay and silt are not told apart: either is right, and neither has figures."""
    for name in ("a", "b", "c"):
        pores = np.where(PHASES == 2, 255, 0).astype(np.uint8)
        pores[:, :2] = 7
        save(data / "labels" / f"{name}.png", pores)
    wrong = PHASES.copy()
    wrong[40:50, 50:70] = 1  # 200 of 300 pixels of the pore
    wrong[10:15, 50:70] = 2  # 100 of pore that is none
    save(masks / "a.png", wrong)
    refused = evaluate(masks, data)
    assert refused.exit_code != ExitCode.DONE
    assert "--values" in " ".join(refused.stderr.split())
    out = tmp_path / "out"
    values = "0=clay+silt,255=pore,7=void"
    result = evaluate(masks, data, "--values", values, "--out", out)
    assert result.exit_code == ExitCode.DONE, result.output
    assert "the labels do not tell silt from clay: no figures of these" in result.stdout
    first, second = pq.read_table(out / "scores.parquet").to_pylist()[:2]
    assert first["iou_pore"] == first["iou_mean"] == 100 / 400
    assert first["pixel_accuracy"] == 1 - 300 / (60 * 78)
    assert first["fraction_pore_error_points"] == pytest.approx(-100 * 100 / (60 * 78))
    assert (first["matched_pore"], first["missed_pore"], first["invented_pore"]) == (0, 1, 2)
    assert second["iou_pore"] == second["boundary_f1_pore"] == second["pixel_accuracy"] == 1
    columns = ("iou_silt", "fraction_silt_truth_percent", "instances_silt_truth", "iou_clay")
    assert {first[name] for name in columns} == {None}


def test_json_lines(data: Path, masks: Path) -> None:
    result = evaluate(masks, data / "labels", "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["level"] for row in rows] == ["image"] * 3 + ["mean", "pooled"]
    assert rows[0]["ecd_distance_silt_um"] is None
    assert rows[0]["ecd_distance_silt_px"] > 0


def test_a_model_segments_first(
    data: Path, masks: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    (tmp_path / "split.csv").write_text("name,part,parent\na,train,a\nb.tif,test,b\n", "utf-8")
    out = tmp_path / "out"
    arguments = ("--pixel-size", "10nm", "--split", tmp_path / "split.csv", "--out", out)
    result = evaluate(tiny_model.path, data, "--against", masks, *arguments)
    assert result.exit_code == ExitCode.DONE, result.output
    table = pq.read_table(out / "scores.parquet").to_pylist()
    found = [(r["method"], r["split"], r["iou_mean"] == 1) for r in table if r["image"]]
    expected = [("a", "train"), ("b", "test"), ("c", "unknown")]
    assert found == [
        (method, split, method == "tiny") for _, split in expected for method in ("tiny", "mine")
    ]
    summed = {r["split"]: r["images"] for r in table if r["level"] == "pooled"}
    assert summed == {"all": 3, "train": 1, "test": 1, "unknown": 1}
    again = evaluate(out / "masks" / "tiny", data, "--json")
    assert json.loads(again.stdout.splitlines()[0])["pixel_accuracy"] == 1


def test_models_of_one_name_keep_their_masks_apart(
    data: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    other = shutil.copytree(tiny_model.path, tmp_path / "other" / "tiny")
    out = tmp_path / "out"
    words = ("--against", other, "--pixel-size", "10nm", "--out", out, "--json")
    result = evaluate(tiny_model.path, data, *words)
    assert result.exit_code == ExitCode.DONE, result.output
    assert {json.loads(line)["method"] for line in result.stdout.splitlines()} == {
        "tiny",
        "other/tiny",
    }
    for name in ("tiny", "other/tiny"):
        assert len(list((out / "masks" / name).glob("*.tif"))) == 3


def test_tiles_of_a_micrograph_stand_where_it_does() -> None:
    from mudrock_cli.commands.evaluate import Method

    parts = {"kumano_11": "train", "one/b": "test"}
    method = Method("m", lambda *_: pytest.fail("not asked for"), parts)
    names = ("kumano_11_3_b", "rock/kumano_11_tile_x0_y400", "one/b", "kumano_12_3_b")
    assert [method.split_of(name) for name in names] == ["train", "train", "test", "unknown"]


def test_one_bad_image_does_not_stop_the_others(data: Path, masks: Path) -> None:
    (masks / "a.png").unlink()
    save(masks / "b.png", PHASES[:, 1:])
    result = evaluate(masks, data, "--json")
    assert result.exit_code == ExitCode.SOME_FAILED
    assert {json.loads(line)["images"] for line in result.stdout.splitlines()} == {1}
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert "no mask called a in" in lines[0]
    assert "b.png: 79 × 60 pixels, its label has 80 × 60" in lines[1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d, m: save(d / "labels" / "c.png", PHASES // 2 + 3), "no phase mask, it holds"),
        (lambda d, m: save(d / "labels" / "c.png", PHASES * 0 + 255), "no pixel is labelled"),
        (lambda d, m: (m / "c.png").write_bytes(b"text"), "c.png: neither TIFF, PNG"),
    ],
)
def test_bad_files_are_told_in_one_line(data: Path, masks: Path, change, told: str) -> None:
    change(data, masks)
    result = evaluate(masks, data, "--json")
    assert result.exit_code == ExitCode.SOME_FAILED
    assert len(result.stderr.splitlines()) == 1
    assert told in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nowhere", "data"), "no model of this name"),
        (("empty", "data"), "no mask for any of the 3 labels"),
        (("mine", "nowhere"), "no such folder"),
        (("mine", "empty"), "no label mask in it"),
        (("mine", "data", "--tolerance", "wide"), "--tolerance"),
        (("mine", "data", "--pixel-size", "10"), "--pixel-size"),
        (("mine", "data", "--against", "mine"), "given twice"),
        (("mine", "data", "--out", "mine/a.png/x"), "cannot be written"),
    ],
)
def test_wrong_usage(
    data: Path, masks: Path, arguments: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data.parent)
    Path("empty").mkdir()
    result = evaluate(*arguments)
    assert result.exit_code == ExitCode.USAGE
    assert told in result.stderr
    assert len(result.stderr.splitlines()) <= 2


@pytest.mark.parametrize("text", ["", "a,train\n", "name,part\n", "name,part\na,else\n"])
def test_a_wrong_split_file(data: Path, masks: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "split.csv").write_text(text, "utf-8")
    result = evaluate(masks, data, "--split", tmp_path / "split.csv")
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "split.csv" in result.stderr


def test_a_tolerance_in_nm_needs_a_pixel_size(data: Path, masks: Path) -> None:
    result = evaluate(masks, data, "--tolerance", "30nm")
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "a: no pixel size, so 30nm is no number of pixels" in result.stderr


def test_no_image_for_a_model(data: Path, tiny_model: TrainedModel) -> None:
    result = evaluate(tiny_model.path, data / "labels")
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "no image a to segment" in result.stderr


def test_authors_predictions(tmp_path: Path) -> None:
    if not KUMANO.is_dir():
        pytest.skip("../shared/data, a folder beside the checkout, is absent")
    result = evaluate(KUMANO / "authors", KUMANO, "--json")
    rows = {row["image"]: row for row in map(json.loads, result.stdout.splitlines())}
    found = [rows["kumano_15"][f"iou_{name}"] for name in ("clay", "silt", "pore")]
    assert found == pytest.approx([0.882, 0.799, 0.684], abs=0.001)
