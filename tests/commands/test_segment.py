import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner, Result

from mudrock_cli.cli import app
from mudrock_cli.deeplab.zoo import TrainedModel
from mudrock_cli.errors import ExitCode
from mudrock_cli.image.mask import open_mask
from mudrock_cli.image.phase import Phase
from mudrock_cli.image.placement import part_path

ROOT = Path(__file__).resolve().parents[2]
Grey = npt.NDArray[np.uint8]


def heed_ctrl_c() -> None:
    """Undo what a shell does to its background jobs: they, and so their children, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def make_grey(shape: tuple[int, int] = (90, 130), seed: int = 0) -> Grey:
    """Blocks of dark, middling and bright grey, far from the tiny model's thresholds."""
    rng = np.random.default_rng(seed)
    blocks = rng.choice([20, 120, 230], (shape[0] // 10 + 1, shape[1] // 10 + 1))
    return np.kron(blocks, np.ones((10, 10)))[: shape[0], : shape[1]].astype(np.uint8)


def expected_phases(grey: Grey) -> Grey:
    return np.select([grey < 60, grey > 180], [Phase.PORE, Phase.SILT], Phase.CLAY).astype(np.uint8)


def segment(model: TrainedModel, *arguments: str | Path) -> Result:
    words = ["segment", "--model", str(model.path), *map(str, arguments)]
    return CliRunner().invoke(app, words, env={"COLUMNS": "80"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images in two folders."""
    images = tmp_path / "images"
    (images / "deep").mkdir(parents=True)
    for seed, name in enumerate(["a.tif", "b.png", "deep/c.tif"]):
        Image.fromarray(make_grey(seed=seed)).save(images / name)
    return images


def test_masks_mirror_the_inputs_and_hold_the_right_phases(
    folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    out = tmp_path / "masks"
    result = segment(tiny_model, folder, "--out", out, "--pixel-size", "10nm")
    assert result.exit_code == ExitCode.DONE, result.output
    for seed, name in enumerate(["a.tif", "b.tif", "deep/c.tif"]):
        mask = open_mask(out / name)
        assert np.array_equal(mask.phases(), expected_phases(make_grey(seed=seed)))
        assert mask.pixel_size is not None
        assert mask.pixel_size.nm == 10
        assert mask.provenance["model"] == {"name": "tiny", "sha256": tiny_model.digest}
        assert mask.provenance["options"] == {"engine": "openvino", "workflow": None}
    lines = result.stdout.splitlines()
    assert " ".join(lines[0].split()) == "image nm/px pore % silt % clay % s status"
    assert max(map(len, lines[:4])) <= 80
    assert "pixel sizes from: --pixel-size (3)" in lines
    assert "3 masks in " in lines[-1]


def test_results_are_the_fractions_of_the_mask(
    folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    result = segment(tiny_model, folder / "a.tif", "--out", tmp_path, "--json")
    line = json.loads(result.stdout)
    phases = open_mask(tmp_path / "a.tif").phases()
    assert line["status"] == "done"
    assert line["mask"] == str(tmp_path / "a.tif")
    for name in ("pore", "silt", "clay"):
        assert line[f"{name}_fraction"] == np.mean(phases == Phase[name.upper()])
    assert 0 <= line["mean_entropy"] < 0.01


def test_without_a_pixel_size_it_runs_and_says_so_once(
    folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    result = segment(tiny_model, folder, "--out", tmp_path / "m")
    assert result.exit_code == ExitCode.DONE
    assert open_mask(tmp_path / "m" / "a.tif").pixel_size is None
    assert result.stderr.count("give --pixel-size") == 1
    assert "warning: 3 images in all: no pixel size" in result.stderr


def test_a_pixel_size_far_from_the_models_is_warned_of(
    folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    for size, warned in (("12nm", False), ("20nm", True), ("5nm", True)):
        result = segment(
            tiny_model, folder / "a.tif", "--out", tmp_path / size, "--pixel-size", size
        )
        assert ("was trained for 8 to 12.5 nm" in result.stderr) == warned
        assert open_mask(tmp_path / size / "a.tif").shape == (90, 130)


def test_finished_masks_are_kept_and_everything_else_is_made_again(
    folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    out = tmp_path / "masks"

    def statuses(*options: str) -> list[str]:
        result = segment(tiny_model, folder, "--out", out, "--json", *options)
        assert result.exit_code == ExitCode.DONE, result.output
        return [json.loads(line)["status"] for line in result.stdout.splitlines()]

    assert statuses() == ["done"] * 3
    assert statuses() == ["skipped"] * 3
    assert statuses("--force") == ["done"] * 3
    assert statuses("--pixel-size", "10nm") == ["done"] * 3
    assert statuses("--save", "overlay", "--pixel-size", "10nm") == ["done"] * 3
    assert statuses("--pixel-size", "10nm") == ["skipped"] * 3
    (out / "a.overlay.png").unlink()
    assert statuses("--save", "overlay", "--pixel-size", "10nm") == ["done", *["skipped"] * 2]
    Image.fromarray(make_grey(seed=9)).save(folder / "b.png")  # another image
    whole = (out / "a.tif").read_bytes()
    (out / "a.tif").write_bytes(whole[: len(whole) // 2])  # a damaged mask
    assert statuses("--pixel-size", "10nm") == ["done", "done", "skipped"]


def test_a_model_with_another_hash_makes_masks_again(
    folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    segment(tiny_model, folder / "a.tif", "--out", tmp_path)
    other = tmp_path / "tiny"
    other.mkdir()
    for path in tiny_model.path.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    from mudrock_cli.deeplab.zoo import seal_model

    hotter = seal_model(other, {"temperature": 2.0})
    result = segment(hotter, folder / "a.tif", "--out", tmp_path, "--json")
    assert json.loads(result.stdout)["status"] == "done"


def test_files_beside_the_mask(folder: Path, tmp_path: Path, tiny_model: TrainedModel) -> None:
    options = ("--save", "overlay,confidence,instances", "--pixel-size", "10nm")
    result = segment(tiny_model, folder / "a.tif", "--out", tmp_path, *options)
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
    segment(tiny_model, folder / "a.tif", "--out", tmp_path, "--force")
    assert not (tmp_path / "a.overlay.png").exists()  # it showed the mask that was replaced


def test_one_bad_input_does_not_stop_the_others(
    folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    (folder / "bad.tif").write_text("this is no image", "utf-8")
    (folder / "empty.tif").touch()
    result = segment(tiny_model, folder, "--out", tmp_path / "m", "--json")
    assert result.exit_code == ExitCode.SOME_FAILED
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["status"] for line in lines] == ["done", "done", "failed", "done", "failed"]
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert "bad.tif" in errors[0]
    assert lines[2]["error"] in errors[0]
    assert not (tmp_path / "m" / "bad.tif").exists()


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
    folder: Path,
    tiny_model: TrainedModel,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    told: str,
) -> None:
    Image.fromarray(make_grey()).save(folder / "deep" / "a.png")
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    result = segment(tiny_model, *arguments)
    assert result.exit_code == ExitCode.USAGE
    assert result.stderr.startswith("mudrock: error: ")
    assert told in result.stderr
    assert sorted(folder.rglob("*")) == before


def test_an_unknown_model_is_a_usage_error(folder: Path, tmp_path: Path) -> None:
    words = ["segment", str(folder), "--out", str(tmp_path), "--model", "../nothing"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == ExitCode.USAGE
    assert "../nothing: no model of this name" in result.stderr


def test_a_model_without_a_compiled_network_cannot_run_on_openvino(
    folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    from mudrock_cli.deeplab.zoo import seal_model

    plain = tmp_path / "plain"
    plain.mkdir()
    for name in ("recipe.toml", "weights.npz"):
        (plain / name).write_bytes((tiny_model.path / name).read_bytes())
    model = seal_model(plain, {})
    result = segment(model, folder, "--out", tmp_path / "m", "--engine", "openvino")
    assert result.exit_code == ExitCode.USAGE
    assert result.stderr.count("has no network compiled for OpenVINO") == 1


@pytest.mark.parametrize("level", [0, 128, 255])
def test_constant_images_and_images_of_one_phase(
    tmp_path: Path, tiny_model: TrainedModel, level: int
) -> None:
    grey = np.full((40, 300), level, np.uint8)
    Image.fromarray(grey).save(tmp_path / "flat.png")
    result = segment(tiny_model, tmp_path / "flat.png", "--out", tmp_path / "m")
    assert result.exit_code == ExitCode.DONE, result.output
    assert np.unique(open_mask(tmp_path / "m" / "flat.tif").phases()).size == 1


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_clean_and_the_next_run_goes_on(
    tmp_path: Path, tiny_model: TrainedModel, stop: signal.Signals
) -> None:
    images, out = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    for number in range(10):
        Image.fromarray(make_grey((700, 700), number)).save(images / f"{number:02}.png")
    words = [sys.executable, "-m", "mudrock_cli", "segment", images, "--out", out]
    words += ["--model", tiny_model.path, "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        words,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    ) as running:
        deadline = time.monotonic() + 60
        while not list(out.glob("*.tif")) and time.monotonic() < deadline:
            time.sleep(0.01)
        running.send_signal(stop)
        stdout, stderr = running.communicate(timeout=60)
    assert running.returncode == ExitCode.INTERRUPTED
    assert "mudrock: interrupted; what was finished is kept" in stderr
    assert "Traceback" not in stderr
    finished = sorted(out.glob("*.tif"))
    assert 1 <= len(finished) < 10
    assert sorted(out.iterdir()) == finished  # nothing half-made is left
    assert len(stdout.splitlines()) in (len(finished), len(finished) - 1)
    result = segment(tiny_model, images, "--out", out, "--json")
    statuses = [json.loads(line)["status"] for line in result.stdout.splitlines()]
    assert statuses == ["skipped"] * len(finished) + ["done"] * (10 - len(finished))


def test_leftovers_of_killed_runs_are_removed_and_those_of_living_ones_kept(
    folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    out = tmp_path / "m"
    out.mkdir()
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    alive = part_path(out / "b.tif")
    dead = alive.with_name(alive.name.replace(f"-{os.getpid()}.", f"-{ended.pid}."))
    dead.touch()
    alive.touch()
    segment(tiny_model, folder / "a.tif", "--out", out)
    assert not dead.exists()
    assert alive.exists()


def test_two_runs_into_one_folder_do_not_disturb_each_other(
    folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    words = [sys.executable, "-m", "mudrock_cli", "segment", folder, "--out", tmp_path / "m"]
    words += ["--model", tiny_model.path, "--force", "--save", "overlay,confidence"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    runs = [
        subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for running in runs:
        _, stderr = running.communicate(timeout=60)
        assert running.returncode == 0, stderr
    for seed, name in enumerate(["a.tif", "b.tif", "deep/c.tif"]):
        phases = open_mask(tmp_path / "m" / name).phases()
        assert np.array_equal(phases, expected_phases(make_grey(seed=seed)))
    assert not list((tmp_path / "m").rglob("*.part"))


def test_no_tensorflow_where_openvino_serves(folder: Path, tiny_model: TrainedModel) -> None:
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from mudrock_cli.cli import app\n"
        f"words = ['segment', {str(folder / 'a.tif')!r}, '--out', {str(folder / 'm')!r},\n"
        f"         '--model', {str(tiny_model.path)!r}]\n"
        "assert CliRunner().invoke(app, words).exit_code == 0\n"
        "print([name for name in ('keras', 'tensorflow', 'torch') if name in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


def test_inputs_that_claim_one_mask_fail_and_the_others_are_done(
    folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    Image.fromarray(make_grey()).save(folder / "a.png")
    out = tmp_path / "masks"
    result = segment(tiny_model, folder, "--out", out, "--pixel-size", "10nm")
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "a.png: would write the same mask as" in " ".join(result.stderr.split())
    assert sorted(path.name for path in out.rglob("*.tif")) == ["b.tif", "c.tif"]


def test_a_mask_corrected_by_hand_is_not_replaced(
    folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    out = tmp_path / "masks"
    arguments = (folder / "a.tif", "--out", out, "--pixel-size", "10nm")
    assert segment(tiny_model, *arguments).exit_code == ExitCode.DONE
    corrected = open_mask(out / "a.tif").phases()
    corrected[:5] = 2
    Image.fromarray(corrected).save(out / "a.tif")
    result = segment(tiny_model, *arguments)
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "edited by hand" in " ".join(result.stderr.split())
    assert np.array_equal(np.asarray(Image.open(out / "a.tif")), corrected)
    assert segment(tiny_model, *arguments, "--force").exit_code == ExitCode.DONE
