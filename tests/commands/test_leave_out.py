"""``--crop`` and ``--exclude``: parts of a micrograph that no mask covers."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from command_runs import run
from drawn_images import draw_grey, draw_noisy_grey, expect_phases
from PIL import Image

from mudrock_cli.deeplab.model import TrainedModel
from mudrock_cli.errors import ExitCode
from mudrock_cli.image.mask import open_mask
from mudrock_cli.image.types import Phase


@pytest.fixture
def painted(tmp_path: Path) -> Path:
    """A crack painted over a.tif, and nothing over the others."""
    crack = np.zeros((90, 130), np.uint8)
    crack[20:30] = 255
    (tmp_path / "painted").mkdir()
    Image.fromarray(crack).save(tmp_path / "painted" / "a.png")
    return tmp_path / "painted"


def test_what_is_left_out_is_void_and_the_rest_as_before(
    image_folder: Path, tmp_path: Path, tiny_model: TrainedModel, painted: Path
) -> None:
    words = ("segment", image_folder, "--model", tiny_model.path, "--pixel-size", "10nm", "--json")
    options = ("--crop", "10,5,100,80", "--exclude", painted, "--save", "confidence")
    result = run(*words, "--out", tmp_path / "m", *options)
    assert result.exit_code == ExitCode.DONE, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    for seed, (name, line) in enumerate(zip(["a.tif", "b.tif", "deep/c.tif"], lines, strict=True)):
        expected = np.full((90, 130), Phase.VOID, np.uint8)
        expected[5:85, 10:110] = expect_phases(draw_grey(seed=seed))[5:85, 10:110]
        if name == "a.tif":
            expected[20:30] = Phase.VOID
        mask = open_mask(tmp_path / "m" / name)
        assert np.array_equal(mask.phases(), expected)
        assert line["specimen_px"] == np.sum(expected != Phase.VOID)
        assert line["pore_fraction"] == np.mean(expected[expected != Phase.VOID] == Phase.PORE)
        assert 0 <= line["mean_entropy"] < 0.01
        assert mask.provenance["options"]["crop"] == "10,5,100,80"
        assert ("exclude" in mask.provenance["options"]) == (name == "a.tif")
    confidence = tifffile.imread(tmp_path / "m" / "a.confidence.tif")
    assert np.array_equal(confidence == 0, open_mask(tmp_path / "m/a.tif").phases() == Phase.VOID)


def test_the_workflow_leaves_out_the_same(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "painted").mkdir()
    Image.fromarray(draw_noisy_grey((300, 400), 0)).save(tmp_path / "images" / "a.png")
    crack = np.zeros((300, 400), np.uint8)
    crack[:, 50:60] = 1
    Image.fromarray(crack).save(tmp_path / "painted" / "a.png")
    words = ("groundtruth", tmp_path / "images", "--pixel-size", "20nm")
    plain, cut = tmp_path / "plain", tmp_path / "cut"
    assert run(*words, "--out", plain).exit_code == ExitCode.DONE
    done = run(*words, "--out", cut, "--exclude", tmp_path / "painted", "--band", "--json")
    assert done.exit_code == ExitCode.DONE
    expected = np.where(crack > 0, np.uint8(Phase.VOID), open_mask(plain / "a.tif").phases())
    assert np.array_equal(open_mask(cut / "a.tif").phases(), expected)
    line = json.loads(done.stdout)
    assert line["specimen_px"] == 300 * 390
    assert line["band"]["pore_fraction"]["chosen"] == np.mean(expected[crack == 0] == Phase.PORE)


def test_another_box_or_another_painting_makes_the_mask_again(
    image_folder: Path, tmp_path: Path, tiny_model: TrainedModel, painted: Path
) -> None:
    def status(*options: str | Path) -> str:
        words = ("segment", image_folder / "a.tif", "--model", tiny_model.path, "--json")
        return str(json.loads(run(*words, "--out", tmp_path / "m", *options).stdout)["status"])

    assert [status(), status()] == ["done", "skipped"]
    assert [status("--crop", "0,0,90,90") for _ in range(2)] == ["done", "skipped"]
    assert [status("--crop", "0,0,80,90"), status()] == ["done", "done"]
    assert [status("--exclude", painted) for _ in range(2)] == ["done", "skipped"]
    Image.fromarray(np.full((90, 130), [[0] * 100 + [9] * 30], np.uint8)).save(painted / "a.png")
    assert [status("--exclude", painted), status()] == ["done", "done"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--crop", "1,2,3"), "--crop: '1,2,3' is no box of pixels"),
        (("--exclude", "nowhere"), "--exclude nowhere: no folder"),
        (("--exclude", "."), "no image of the name of an input, such as a.png"),
    ],
)
def test_wrong_usage(
    image_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    told: str,
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    result = run("groundtruth", image_folder, "--out", tmp_path / "m", *options)
    assert result.exit_code == ExitCode.USAGE
    assert told in result.stderr
    assert not (tmp_path / "m").exists()


def test_images_that_do_not_fit_fail_alone(
    image_folder: Path, tmp_path: Path, tiny_model: TrainedModel, painted: Path
) -> None:
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(painted / "b.png")
    words = ("segment", image_folder, "--model", tiny_model.path, "--out", tmp_path / "m")
    result = run(*words, "--exclude", painted)
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "b.png: 9 x 9 pixels" in " ".join(result.stderr.split())
    assert len(list((tmp_path / "m").rglob("*.tif"))) == 2
    result = run(*words, "--crop", "500,0,100,100")
    assert result.exit_code == ExitCode.SOME_FAILED
    assert result.stderr.count("pixels of specimen are in the box") == 3
