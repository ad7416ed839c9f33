"""`segment` where masks are there already, is stopped, or runs twice."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_runs import ROOT, heed_ctrl_c, segment
from drawn_images import draw_grey, expect_phases
from PIL import Image

from mudrock_cli.deeplab.model import TrainedModel, seal_model
from mudrock_cli.errors import ExitCode
from mudrock_cli.files import part_path
from mudrock_cli.image.mask import open_mask, write_mask


def test_finished_masks_are_kept_and_everything_else_is_made_again(
    image_folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    out = tmp_path / "masks"

    def statuses(*options: str) -> list[str]:
        result = segment(tiny_model, image_folder, "--out", out, "--json", *options)
        assert result.exit_code == ExitCode.DONE, result.output
        return [json.loads(line)["status"] for line in result.stdout.splitlines()]

    assert statuses() == ["done"] * 3
    assert statuses() == ["skipped"] * 3
    assert statuses("--force") == ["done"] * 3
    assert statuses("--pixel-size", "10nm") == ["done"] * 3
    assert statuses("--save", "confidence", "--pixel-size", "10nm") == ["done"] * 3
    assert statuses("--pixel-size", "10nm") == ["skipped"] * 3
    (out / "a.confidence.tif").unlink()
    assert statuses("--save", "confidence", "--pixel-size", "10nm") == ["done", *["skipped"] * 2]
    Image.fromarray(draw_grey(seed=9)).save(image_folder / "b.png")  # another image
    whole = (out / "a.tif").read_bytes()
    (out / "a.tif").write_bytes(whole[: len(whole) // 2])  # a damaged mask
    assert statuses("--pixel-size", "10nm") == ["done", "done", "skipped"]


def test_overlays_of_finished_masks_are_drawn_without_the_network(
    image_folder: Path, tmp_path: Path, tiny_model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, out = image_folder / "a.tif", tmp_path / "masks"
    assert segment(tiny_model, image, "--out", out).exit_code == ExitCode.DONE
    assert segment(tiny_model, image, "--out", tmp_path / "both", "--save", "overlay,instances")
    mask = (out / "a.tif").read_bytes()

    def refuse(*arguments: object) -> None:
        raise AssertionError("the network is started")

    monkeypatch.setattr("mudrock_cli.segmentation.share_engine", refuse)
    words = (image, "--out", out, "--save", "overlay,instances", "--json")
    result = segment(tiny_model, *words)
    assert json.loads(result.stdout)["status"] == "skipped"
    assert (out / "a.tif").read_bytes() == mask
    for name in ("a.overlay.png", "a.instances.tif"):
        assert (out / name).read_bytes() == (tmp_path / "both" / name).read_bytes()
    os.utime(out / "a.overlay.png", (0, 0))  # older than the mask, so of an earlier one
    assert segment(tiny_model, *words).exit_code == ExitCode.DONE
    assert (out / "a.overlay.png").stat().st_mtime > 0


def test_a_model_with_another_hash_makes_masks_again(
    image_folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    segment(tiny_model, image_folder / "a.tif", "--out", tmp_path)
    other = tmp_path / "tiny"
    other.mkdir()
    for path in tiny_model.path.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    hotter = seal_model(other, {"temperature": 2.0})
    result = segment(hotter, image_folder / "a.tif", "--out", tmp_path, "--json")
    assert json.loads(result.stdout)["status"] == "done"


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_clean_and_the_next_run_goes_on(
    tmp_path: Path, tiny_model: TrainedModel, stop: signal.Signals
) -> None:
    images, out, count = tmp_path / "images", tmp_path / "masks", 40  # seconds, however busy it is
    images.mkdir()
    for number in range(count):
        Image.fromarray(draw_grey((700, 700), number)).save(images / f"{number:02}.png")
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
    assert 1 <= len(finished) < count
    assert sorted(out.iterdir()) == finished  # nothing half-made is left
    assert len(stdout.splitlines()) in (len(finished), len(finished) - 1)
    result = segment(tiny_model, images, "--out", out, "--json")
    statuses = [json.loads(line)["status"] for line in result.stdout.splitlines()]
    assert statuses == ["skipped"] * len(finished) + ["done"] * (count - len(finished))


def test_leftovers_of_killed_runs_are_removed_and_those_of_living_ones_kept(
    image_folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    out = tmp_path / "m"
    out.mkdir()
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    alive = part_path(out / "b.tif")
    dead = alive.with_name(alive.name.replace(f"-{os.getpid()}.", f"-{ended.pid}."))
    dead.touch()
    alive.touch()
    segment(tiny_model, image_folder / "a.tif", "--out", out)
    assert not dead.exists()
    assert alive.exists()


def test_two_runs_into_one_folder_do_not_disturb_each_other(
    image_folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    words = [sys.executable, "-m", "mudrock_cli", "segment", image_folder, "--out", tmp_path / "m"]
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
        assert np.array_equal(phases, expect_phases(draw_grey(seed=seed)))
    assert not list((tmp_path / "m").rglob("*.part"))


def test_inputs_that_claim_one_mask_fail_and_the_others_are_done(
    image_folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    Image.fromarray(draw_grey()).save(image_folder / "a.png")
    out = tmp_path / "masks"
    result = segment(tiny_model, image_folder, "--out", out, "--pixel-size", "10nm")
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "a.png: would write the same mask as" in " ".join(result.stderr.split())
    assert sorted(path.name for path in out.rglob("*.tif")) == ["b.tif", "c.tif"]


def test_a_mask_corrected_by_hand_is_not_replaced(
    image_folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    out = tmp_path / "masks"
    arguments = (image_folder / "a.tif", "--out", out, "--pixel-size", "10nm")
    assert segment(tiny_model, *arguments).exit_code == ExitCode.DONE
    corrected = open_mask(out / "a.tif").phases()
    corrected[:5] = 2
    Image.fromarray(corrected).save(out / "a.tif")
    result = segment(tiny_model, *arguments)
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "edited by hand" in " ".join(result.stderr.split())
    assert np.array_equal(np.asarray(Image.open(out / "a.tif")), corrected)
    assert segment(tiny_model, *arguments, "--force").exit_code == ExitCode.DONE


def test_a_correction_that_keeps_the_description_is_not_replaced_by_another_model(
    image_folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    """Fiji and QuPath may paint into the pixels and leave the rest of the file as it is."""
    out = tmp_path / "masks"
    arguments = (image_folder / "a.tif", "--out", out)
    assert segment(tiny_model, *arguments, "--pixel-size", "10nm").exit_code == ExitCode.DONE
    mask = open_mask(out / "a.tif")
    corrected = mask.phases().copy()
    corrected[:5, :7] = 2
    write_mask(out / "a.tif", replace(mask, read=lambda rows, columns: corrected[rows, columns]))
    for size in ("10nm", "11nm"):  # as before, and what would make the mask again
        result = segment(tiny_model, *arguments, "--pixel-size", size)
        assert result.exit_code == ExitCode.SOME_FAILED
        assert "edited by hand since" in " ".join(result.stderr.split())
        assert np.array_equal(open_mask(out / "a.tif").phases(), corrected)


def test_a_painted_picture_that_is_no_mask_is_not_replaced(
    image_folder: Path, tmp_path: Path, tiny_model: TrainedModel
) -> None:
    """Smooth brushes leave colours that are none of a mask; the work is there all the same."""
    out = tmp_path / "masks"
    assert segment(tiny_model, image_folder / "a.tif", "--out", out).exit_code == ExitCode.DONE
    painted = np.asarray(Image.open(out / "a.tif").convert("RGB")).copy()
    painted[2, 2] = (99, 98, 97)
    Image.fromarray(painted).save(out / "a.tif")
    before = (out / "a.tif").read_bytes()
    result = segment(tiny_model, image_folder / "a.tif", "--out", out)
    assert result.exit_code == ExitCode.SOME_FAILED
    assert "a.tif: was not written by mudrock" in " ".join(result.stderr.split())
    assert (out / "a.tif").read_bytes() == before
    (out / "a.tif").write_bytes(b"")
    assert segment(tiny_model, image_folder / "a.tif", "--out", out).exit_code == ExitCode.DONE
