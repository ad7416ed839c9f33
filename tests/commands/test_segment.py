"""What `segment` writes and says, and how it takes bad input."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command_runs import ROOT, run, segment
from drawn_images import draw_grey, expect_phases
from PIL import Image

from mudrock_cli.deeplab.model import TrainedModel, seal_model
from mudrock_cli.errors import ExitCode
from mudrock_cli.image.mask import open_mask
from mudrock_cli.image.types import Phase


def test_masks_mirror_the_inputs_and_hold_the_right_phases(
    image_folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    out = tmp_path / "masks"
    result = segment(tiny_model, image_folder, "--out", out, "--pixel-size", "10nm")
    assert result.exit_code == ExitCode.DONE, result.output
    for seed, name in enumerate(["a.tif", "b.tif", "deep/c.tif"]):
        mask = open_mask(out / name)
        assert np.array_equal(mask.phases(), expect_phases(draw_grey(seed=seed)))
        assert mask.pixel_size is not None
        assert mask.pixel_size.nm == 10
        assert mask.provenance["model"] == tiny_model.describe()
        assert mask.provenance["options"] == {"engine": "openvino", "workflow": None}
    lines = result.stdout.splitlines()
    assert " ".join(lines[0].split()) == "image nm/px pore % silt % clay % s status"
    assert max(map(len, lines[:4])) <= 80
    assert "pixel sizes from: --pixel-size (3)" in lines
    assert "3 masks in " in lines[-1]


def test_results_are_the_fractions_of_the_mask(
    image_folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    result = segment(tiny_model, image_folder / "a.tif", "--out", tmp_path, "--json")
    line = json.loads(result.stdout)
    phases = open_mask(tmp_path / "a.tif").phases()
    assert line["status"] == "done"
    assert line["mask"] == str(tmp_path / "a.tif")
    for name in ("pore", "silt", "clay"):
        assert line[f"{name}_fraction"] == np.mean(phases == Phase[name.upper()])
    assert 0 <= line["mean_entropy"] < 0.01


def test_copied_rows_and_columns_change_nothing_but_the_size(
    tmp_path: Path, tiny_model: TrainedModel
) -> None:
    grey = draw_grey()
    rng = np.random.default_rng(0)
    grey = np.clip(grey + rng.integers(-9, 10, grey.shape), 0, 255).astype(np.uint8)
    copies = [np.arange(round(1.2 * n)) * n // round(1.2 * n) for n in grey.shape]
    Image.fromarray(grey).save(tmp_path / "small.png")
    Image.fromarray(grey[copies[0]][:, copies[1]]).save(tmp_path / "large.png")
    lines = {}
    for name, nm in (("small", "12nm"), ("large", "10nm")):
        words = (tmp_path / f"{name}.png", "--out", tmp_path / "m", "--pixel-size", nm, "--json")
        result = segment(tiny_model, *words, "--save", "confidence,overlay")
        assert result.exit_code == ExitCode.DONE, result.output
        lines[name] = json.loads(result.stdout)
    small, large = (open_mask(tmp_path / "m" / f"{name}.tif") for name in lines)
    assert np.array_equal(large.phases(), small.phases()[copies[0]][:, copies[1]])
    assert large.pixel_size is not None
    assert large.pixel_size.nm == 10
    sure = [tifffile.imread(tmp_path / "m" / f"{name}.confidence.tif") for name in lines]
    assert np.array_equal(sure[1], sure[0][copies[0]][:, copies[1]])
    assert lines["large"]["resample_factor"] == pytest.approx(1.2, rel=0.01)
    assert lines["large"]["mean_entropy"] == pytest.approx(lines["small"]["mean_entropy"], rel=0.1)


def test_without_a_pixel_size_it_runs_and_says_so_once(
    image_folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    result = segment(tiny_model, image_folder, "--out", tmp_path / "m")
    assert result.exit_code == ExitCode.DONE
    assert open_mask(tmp_path / "m" / "a.tif").pixel_size is None
    assert result.stderr.count("give --pixel-size") == 1
    assert "warning: 3 images in all: no pixel size (a.tif, b.png, c.tif)" in result.stderr


def test_a_pixel_size_far_from_the_models_is_warned_of(
    image_folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    for size, warned in (("12nm", False), ("20nm", True), ("5nm", True)):
        result = segment(
            tiny_model, image_folder / "a.tif", "--out", tmp_path / size, "--pixel-size", size
        )
        assert ("was trained for 8 to 12.5 nm" in result.stderr) == warned
        assert open_mask(tmp_path / size / "a.tif").shape == (90, 130)


def test_it_is_told_when_enlarging_takes_long(
    image_folder: Path, tmp_path: Path, tiny_model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mudrock_cli.commands.segment._LONG_SECONDS", 0.0)
    for size, told in (("10nm", False), ("30nm", True), ("100nm", False)):
        result = segment(
            tiny_model, image_folder / "a.tif", "--out", tmp_path / size, "--pixel-size", size
        )
        assert ("a.tif: enlarged 3 times, which takes about" in result.stderr) == told
    assert "a.tif: 100 nm per pixel" in result.stderr
    assert "where that is wrong, mend --pixel-size;" in result.stderr
    assert "it cannot show what the model looks for" in result.stderr
    assert result.exit_code == ExitCode.SOME_FAILED


def test_files_beside_the_mask(
    image_folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    options = ("--save", "overlay,confidence,instances", "--pixel-size", "10nm")
    result = segment(tiny_model, image_folder / "a.tif", "--out", tmp_path, *options)
    assert result.exit_code == ExitCode.DONE, result.output
    with Image.open(tmp_path / "a.overlay.png") as picture:
        assert picture.size == (130, 90)
    confidence = tifffile.imread(tmp_path / "a.confidence.tif")
    assert confidence.shape == (90, 130)
    assert confidence.min() > 250  # the greys are far from the thresholds
    from scipy import ndimage

    phases = open_mask(tmp_path / "a.tif").phases()
    labels = tifffile.imread(tmp_path / "a.instances.tif")
    counts = [ndimage.label(phases == p, np.ones((3, 3)))[1] for p in (Phase.SILT, Phase.PORE)]
    assert labels.max() == sum(counts)
    assert np.array_equal(labels > 0, phases != Phase.CLAY)
    segment(tiny_model, image_folder / "a.tif", "--out", tmp_path, "--force")
    assert not (tmp_path / "a.overlay.png").exists()  # it showed the mask that was replaced


def test_one_bad_input_does_not_stop_the_others(
    image_folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    (image_folder / "bad.tif").write_text("this is no image", "utf-8")
    (image_folder / "empty.tif").touch()
    result = segment(tiny_model, image_folder, "--out", tmp_path / "m", "--json")
    assert result.exit_code == ExitCode.SOME_FAILED
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["status"] for line in lines] == ["done", "done", "failed", "done", "failed"]
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert "bad.tif" in errors[0]
    assert lines[2]["error"] in errors[0]
    assert not (tmp_path / "m" / "bad.tif").exists()


def test_what_was_taken_of_a_stack_is_told_once(tmp_path: Path, tiny_model: TrainedModel) -> None:
    for name in ("a", "b"):
        stack = np.stack([draw_grey(seed=seed) for seed in range(3)])
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, photometric="minisblack")
    result = segment(tiny_model, tmp_path, "--out", tmp_path / "m", "--pixel-size", "10nm")
    assert result.exit_code == ExitCode.DONE
    assert f"{tmp_path / 'a.tif'}: a stack of 3 pages: the first was taken" in result.stderr
    assert "warning: 2 images in all: a stack of 3 pages" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere", "--out", "m"], "nowhere: no images found"),
        (["a.tif", "--out", "m", "--save", "film"], "--save film: cannot save film"),
        (["a.tif", "--out", "m", "--pixel-size", "ten"], "cannot read the length 'ten'"),
        (["a.tif", "--out", "."], "would be replaced by a mask"),
        (["a.tif", "--out", "a.tif"], "a.tif: cannot be written"),
    ],
)
def test_wrong_usage_stops_before_any_work(
    image_folder: Path,
    tiny_model: TrainedModel,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    told: str,
) -> None:
    Image.fromarray(draw_grey()).save(image_folder / "deep" / "a.png")
    monkeypatch.chdir(image_folder)
    before = sorted(image_folder.rglob("*"))
    result = segment(tiny_model, *arguments)
    assert result.exit_code == ExitCode.USAGE
    assert result.stderr.startswith("mudrock: error: ")
    assert told in result.stderr
    assert sorted(image_folder.rglob("*")) == before


def test_an_unknown_model_is_a_usage_error(image_folder: Path, tmp_path: Path) -> None:
    result = run("segment", image_folder, "--out", tmp_path, "--model", "../nothing")
    assert result.exit_code == ExitCode.USAGE
    assert "../nothing: no model of this name" in result.stderr


def test_a_model_without_a_compiled_network_cannot_run_on_openvino(
    image_folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for name in ("recipe.toml", "weights.npz"):
        (plain / name).write_bytes((tiny_model.path / name).read_bytes())
    model = seal_model(plain, {})
    result = segment(model, image_folder, "--out", tmp_path / "m", "--engine", "openvino")
    assert result.exit_code == ExitCode.USAGE
    assert result.stderr.count("has no network compiled for OpenVINO") == 1


@pytest.mark.parametrize(("level", "phase"), [(20, 2), (110, 0), (230, 1)])
def test_an_image_of_one_phase(
    tmp_path: Path, tiny_model: TrainedModel, level: int, phase: int
) -> None:
    grey = np.random.default_rng(0).integers(level - 9, level + 10, (40, 300)).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "even.png")
    result = segment(tiny_model, tmp_path / "even.png", "--out", tmp_path / "m")
    assert result.exit_code == ExitCode.DONE, result.output
    assert (open_mask(tmp_path / "m" / "even.tif").phases() == phase).all()


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_image_of_one_grey_is_refused(
    tmp_path: Path, tiny_model: TrainedModel, level: int
) -> None:
    Image.fromarray(np.full((40, 300), level, np.uint8)).save(tmp_path / "flat.png")
    result = segment(tiny_model, tmp_path / "flat.png", "--out", tmp_path / "m")
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "flat.png: every pixel has the same grey, or nearly" in result.stderr
    assert not (tmp_path / "m" / "flat.tif").exists()


@pytest.mark.parametrize("length", ["26nm", "34nm", "2um", "2.5nm"])
def test_pixels_that_the_model_knows_nothing_of_are_refused(
    image_folder: Path, tmp_path: Path, tiny_model: TrainedModel, length: str
) -> None:
    """It was trained for 8 to 12.5 nm: up to three times as far it goes on with a warning."""
    words = (image_folder / "a.tif", "--out", tmp_path / "m", "--pixel-size", length)
    result = segment(tiny_model, *words)
    told = "nm per pixel, and the model tiny was trained for 8 to 12.5 nm: it cannot show"
    if length in ("26nm", "34nm"):
        assert result.exit_code == ExitCode.DONE
        assert "check the overlay" in result.stderr
        return
    assert result.exit_code == ExitCode.SOME_FAILED
    assert told in " ".join(result.stderr.split())
    hint = "where that is wrong, mend --pixel-size"
    assert hint in " ".join(result.stderr.split())


def test_no_tensorflow_where_openvino_serves(image_folder: Path, tiny_model: TrainedModel) -> None:
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from mudrock_cli.cli import app\n"
        f"words = ['segment', {str(image_folder / 'a.tif')!r},\n"
        f"         '--model', {str(tiny_model.path)!r}, '--out', {str(image_folder / 'm')!r}]\n"
        "assert CliRunner().invoke(app, words).exit_code == 0\n"
        "print([name for name in ('keras', 'tensorflow', 'torch') if name in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr
