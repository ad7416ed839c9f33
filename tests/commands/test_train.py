import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner, Result

from mudrock_cli import cli
from mudrock_cli.deeplab.model import load_model
from mudrock_cli.errors import ExitCode

pytestmark = [
    pytest.mark.network,
    pytest.mark.filterwarnings("ignore:__array__ implementation"),  # Keras saves so
]

TINY = """
[network]
architecture = "unet"
encoder = "plain"
unet_channels = 4
unet_levels = 1
batch_norm_decay = 0.9
[data]
crop = [32, 48]
tile = [0, 0]
[optimizer]
name = "adamw"
rate = 1e-2
decay_steps = 0
[training]
batch = 2
epochs = 2
steps_per_epoch = 2
[inference]
tile = 64
overlap = 16
"""


def write_pair(data: Path, name: str, seed: int, shape: tuple[int, int] = (70, 90)) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.uint8)
    for phase in (1, 2) * 4:
        row, column = rng.integers(shape[0]), rng.integers(shape[1])
        labels[(rows - row) ** 2 + (columns - column) ** 2 < 81] = phase
    grey = np.array([120, 190, 40])[labels] + rng.normal(0, 6, shape)
    for folder in ("images", "labels"):
        (data / folder).mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(
        data / "images" / f"{name}.tif",
        np.clip(grey, 0, 255).astype(np.uint8),
        imagej=True,
        resolution=(100, 100),
        metadata={"unit": "um"},
    )
    Image.fromarray(labels).save(data / "labels" / f"{name}.png")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "rock"
    for seed, name in enumerate(("a", "b", "c")):
        write_pair(folder, name, seed)
    return folder


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY, "utf-8")
    return path


def mudrock(*arguments: Any) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def test_a_trained_model_segments(data: Path, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "models" / "mine"
    words = ("--set", "training.epochs=3", "--set", "inference.workflow=[3.0, 3.0, 3.0, 4.0]")
    done = mudrock("train", data, "--recipe", recipe, "--out", out, *words)
    assert done.exit_code == ExitCode.DONE, done.output
    assert "the source micrographs held out" in done.stdout
    assert "warning: a single micrograph trains, the others are held out" in done.stderr
    assert "epoch 1 of 3: loss" in done.stderr
    assert "to go, until" in done.stderr.partition("epoch 3 of 3")[0]
    assert "to go" not in done.stderr.partition("epoch 3 of 3")[2]
    assert f"{out}: finished after 3 epochs" in done.stdout.replace("\n", "")
    model = load_model(str(out))
    assert model.compiled == out / "cpu.xml"
    assert model.recipe.training.epochs == 3
    assert model.recipe.optimizer.decay_steps == 6  # what ran is written out whole
    card = model.card
    assert [len(card["data"]["parts"][p]["parents"]) for p in ("train", "validation", "test")] == [
        1,
        1,
        1,
    ]
    assert set(card["iou"]) <= {"clay", "silt", "pore"}
    assert card["leaks"] == []
    assert card["calibration"]["temperature"] == model.temperature
    assert card["confidence_calibration"]["temperature"] == model.confidence_temperature != 1
    assert len((out / "split.csv").read_text("utf-8").splitlines()) == 4
    text = (out / "card.md").read_text("utf-8")
    assert text.startswith("# mine\n")
    assert "by source micrograph: none stands on two sides" in text
    assert f"by a further {model.confidence_temperature:.3f} for the confidence" in text
    assert {"curves.png", "recipe.toml", "training"} <= {path.name for path in out.iterdir()}
    logs = {path.name for path in (out / "training").iterdir()}
    assert {"log.csv", "last.npz", "tensorboard", "order.json"} <= logs

    masks = mudrock(
        "segment", data / "images", "--model", out, "--out", tmp_path / "masks", "--json"
    )
    assert masks.exit_code == ExitCode.DONE, masks.output
    assert len(masks.stdout.splitlines()) == 3

    again = mudrock("train", data, "--recipe", recipe, "--out", out)
    assert again.exit_code == ExitCode.USAGE
    assert "holds a model already" in again.stderr


def test_the_start_is_the_model_that_ships_where_it_fits() -> None:
    from mudrock_cli.cross_validation import TrainingConfiguration, locate_start

    def start(recipe: str, init: str | None = None) -> str:
        return TrainingConfiguration.from_options(recipe, [], init, None, 0, None).init

    assert [start(name) for name in ("fast", "paper", "unet")] == ["kumano", "imagenet", "scratch"]
    assert start("fast", "scratch") == "scratch"
    assert (Path(locate_start("kumano")) / "weights.npz").is_file()
    assert locate_start("my/weights.npz") == "my/weights.npz"


@pytest.mark.parametrize(("init", "known"), [("kumano", ["kumano_11"]), ("imagenet", [])])
def test_micrographs_that_the_start_knows_are_told(
    data: Path, tmp_path: Path, init: str, known: list[str]
) -> None:
    from mudrock_cli.cross_validation import (
        TrainingConfiguration,
        find_known_sources,
        plan_training,
    )
    from mudrock_cli.deeplab.dataset import load_samples

    write_pair(data, "kumano_11", 5)
    (tmp_path / "split.csv").write_text(
        "name,part\na,train\nb,train\nc,validation\nkumano_11,test\n", "utf-8"
    )
    chosen = str(tmp_path / "split.csv")
    wanted = TrainingConfiguration.from_options("fast", [], init, chosen, 0, None)
    samples = load_samples(data, wanted.recipe.data).samples
    plan = plan_training(wanted, samples, data, tmp_path / "m")
    assert find_known_sources(plan) == known


def test_a_copy_beside_it_does_not_hide_what_the_start_knows(data: Path, tmp_path: Path) -> None:
    from mudrock_cli.cross_validation import (
        TrainingConfiguration,
        find_known_sources,
        plan_training,
    )
    from mudrock_cli.deeplab.dataset import load_samples

    write_pair(data, "kumano_11", 5)
    for folder, name in (("images", "kumano_11.tif"), ("labels", "kumano_11.png")):
        shutil.copy(data / folder / name, data / folder / name.replace("kumano_11", "copy"))
    wanted = TrainingConfiguration.from_options("fast", [], "kumano", None, 3, None)
    samples = load_samples(data, wanted.recipe.data).samples
    plan = plan_training(wanted, samples, data, tmp_path / "m")
    assert plan.split.source["kumano_11"] == "copy"
    assert find_known_sources(plan) == ["kumano_11"]


@pytest.mark.usefixtures("quick")
def test_ctrl_c_leaves_a_model_and_resume_finishes_it(
    data: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mudrock_cli.commands.console import TrainingConsole

    out = tmp_path / "m"
    tell = TrainingConsole.on_step

    def stop(self: Any, epoch: int, step: int, *rest: Any) -> None:
        tell(self, epoch, step, *rest)
        if (epoch, step) == (2, 1):
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainingConsole, "on_step", stop)
    done = mudrock("train", data, "--recipe", recipe, "--out", out)
    assert done.exit_code == ExitCode.INTERRUPTED, done.output
    card = load_model(str(out)).card
    assert card["training"]["ended"] == "interrupted"
    assert "iou" not in card
    monkeypatch.setattr(TrainingConsole, "on_step", tell)
    done = mudrock("train", data, "--out", out, "--resume")
    assert done.exit_code == ExitCode.DONE, done.output
    assert load_model(str(out)).card["training"]["epochs_done"] == 2


@pytest.mark.usefixtures("quick")
def test_masks_of_pores_alone_teach_and_judge(data: Path, recipe: Path, tmp_path: Path) -> None:
    for label in (data / "labels").iterdir():
        pores = np.asarray(Image.open(label)) == 2
        Image.fromarray(np.where(pores, np.uint8(255), np.uint8(0))).save(label)
    out, values = tmp_path / "pores", ("--values", "0=clay+silt,255=pore")
    words = ("train", data, "--out", out, "--recipe", recipe, "--set", "training.epochs=3")
    refused = mudrock(*words)
    assert refused.exit_code == ExitCode.SOME_FAILED
    assert "--values 0=clay+silt,255=pore" in refused.stderr
    refused = mudrock(*words, "--values", "0=solid,255=pore")
    assert refused.exit_code == ExitCode.USAGE
    assert "'solid' is none of clay, silt, pore, void" in refused.stderr
    done = mudrock(*words, *values)
    assert done.exit_code == ExitCode.DONE, done.output
    assert "IoU clay – silt – pore" in done.stderr
    card = load_model(str(out)).card
    assert list(card["iou"]) == ["pore"]
    assert card["iou"]["pore"] > 0.5
    assert all(
        row["iou_clay"] is None and "silt_error_points" not in row
        for row in card["judged"]["images"]
    )
    assert "calibration" not in card  # pores alone would make it too sure of them


@pytest.mark.usefixtures("quick")
def test_folds_hold_every_parent_out_once(data: Path, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    done = mudrock(
        "train", data, "--recipe", recipe, "--out", out, "--folds", 3, "--set", "training.epochs=1"
    )
    assert done.exit_code == ExitCode.DONE, done.output
    card = load_model(str(out)).card
    assert sorted(row["name"] for row in card["judged"]["images"]) == ["a", "b", "c"]
    assert card["data"]["parts"]["train"]["parents"] == ["a", "b", "c"]
    assert card["data"]["split"] == "folds"
    assert card["training"]["epochs_done"] == 2  # of 3 micrographs, as often as 1 epoch of 2
    assert set(card["domain"]) == {"doubt", "distance", "grey_skew"}
    for fold in (1, 2, 3):
        assert (out / "training" / f"fold-{fold}" / "findings.npz").is_file()
        rows = (out / "training" / f"fold-{fold}" / "split.csv").read_text("utf-8")
        assert rows.count(",test,") == 1
    held_out = out / "training" / "held-out"
    judged = mudrock("evaluate", held_out, data, "--json")
    assert judged.exit_code == ExitCode.DONE, judged.output
    rows = [json.loads(line) for line in judged.stdout.splitlines()]
    by_evaluate = {row["image"]: row for row in rows if row.get("image")}
    for row in card["judged"]["images"]:
        assert by_evaluate[row["name"]]["pixel_accuracy"] == pytest.approx(row["pixel_accuracy"])


@pytest.mark.usefixtures("quick")
def test_folds_are_judged_again_where_more_is_asked_or_data_changed(
    data: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mudrock_cli.commands.console import TrainingConsole

    stages: list[str] = []
    monkeypatch.setattr(TrainingConsole, "on_stage", lambda _, title, *__: stages.append(title))
    out, fast = tmp_path / "m", ("--set", "training.epochs=1")
    done = mudrock("train", data, "--recipe", recipe, "--out", out, "--folds", 2, *fast)
    assert done.exit_code == ExitCode.DONE, done.output
    again = ("train", data, "--out", out, "--resume")
    stages.clear()
    assert mudrock(*again).exit_code == ExitCode.DONE
    assert not any(title.startswith("fold") for title in stages)
    before = (out / "training" / "fold-1" / "findings.npz").read_bytes()
    done = mudrock(*again, "--set", "training.epochs=2")
    assert done.exit_code == ExitCode.DONE, done.output
    assert sum(title.startswith("fold") for title in stages) == 2
    assert (out / "training" / "fold-1" / "findings.npz").read_bytes() != before
    write_pair(data, "b", 9)
    changed = mudrock(*again)
    assert changed.exit_code == ExitCode.SOME_FAILED
    assert "the checkpoint of another training" in changed.stderr.replace("\n", " ")


@pytest.mark.usefixtures("quick")
def test_a_model_of_a_fold_that_was_stopped_tells_what_it_learnt_from(
    data: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mudrock_cli.commands.console import TrainingConsole

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingConsole, "on_step", stop)
    out = tmp_path / "m"
    done = mudrock("train", data, "--recipe", recipe, "--out", out, "--folds", 2)
    assert done.exit_code == ExitCode.INTERRUPTED, done.output
    held = load_model(str(out)).card["data"]["parts"]["test"]["parents"]
    judged = mudrock("evaluate", out, data, "--json")
    rows = [json.loads(line) for line in judged.stdout.splitlines()]
    parts = {row["image"]: row["split"] for row in rows if row.get("image")}
    assert parts == {name: "test" if name in held else "train" for name in "abc"}


def test_a_forest_is_a_model_like_any_other(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "forest"
    settings = ["forest.trees=10", "forest.scales=[1.0, 4.0]", "inference.tile=64"]
    options = [part for setting in settings for part in ("--set", setting)]
    done = mudrock(
        "train", data, "--recipe", "forest", "--out", out, *options, "--set", "inference.overlap=16"
    )
    assert done.exit_code == ExitCode.DONE, done.output
    card = load_model(str(out)).card
    assert "domain" not in card  # one micrograph was trained on, and spans nothing
    assert min(card["iou"].values()) > 0.5  # discs of three greys are easy
    masks = mudrock("segment", data / "images", "--model", out, "--out", tmp_path / "m", "--json")
    assert masks.exit_code == ExitCode.DONE, masks.output
    found = [json.loads(line) for line in masks.stdout.splitlines()]
    assert all(0 < row["pore_fraction"] < 0.3 for row in found)


def test_the_papers_split_is_made_and_told(data: Path, tmp_path: Path) -> None:
    from mudrock_cli.cross_validation import TrainingConfiguration, plan_training
    from mudrock_cli.deeplab.dataset import load_samples

    settings = ["data.tile=[35, 45]", "data.images=40", "data.crop=[32, 32]"]
    wanted = TrainingConfiguration.from_options("paper", settings, "scratch", "paper", 0, None)
    samples = load_samples(data, wanted.recipe.data).samples
    plan = plan_training(wanted, samples, data, tmp_path)
    assert len(plan.samples) == 40  # 3 micrographs · 4 tiles · 3 variants, and 4 recoloured
    assert plan.split.kind == "paper"
    assert plan.split.leaking_sources()


@pytest.mark.usefixtures("quick")
def test_a_finished_training_can_be_made_longer(data: Path, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    assert mudrock("train", data, "--recipe", recipe, "--out", out).exit_code == ExitCode.DONE
    longer = mudrock("train", data, "--out", out, "--resume", "--set", "training.epochs=4")
    assert longer.exit_code == ExitCode.DONE, longer.output
    assert "finished after 4 epochs" in longer.stdout.replace("\n", "")
    other = mudrock("train", data, "--out", out, "--resume", "--set", "optimizer.rate=1.0")
    assert "a resumed training can change only training.epochs" in other.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "slow"], "no recipe of this name"),
        (["--set", "optimizer.rate"], "cannot be read"),
        (["--folds", "1"], "one fold holds everything out"),
        (["--folds", "2", "--split", "paper"], "exclude each other"),
        (["--pixel-size", "ten"], "cannot read the length"),
        (["--resume"], "holds no stopped training"),
        (["--resume", "--recipe", "fast"], "goes on with the recipe"),
    ],
)
def test_wrong_usage(data: Path, tmp_path: Path, options: list[str], message: str) -> None:
    done = mudrock("train", data, "--out", tmp_path / "m", *options)
    assert done.exit_code == ExitCode.USAGE, done.output
    assert message in done.stderr
    assert "hint: " in done.stderr
    assert not (tmp_path / "m" / "card.json").exists()


def test_bad_data_is_told_before_any_training(data: Path, recipe: Path, tmp_path: Path) -> None:
    def train(folder: Path, *options: str) -> str:
        out = tmp_path / f"m{len(list(tmp_path.iterdir()))}"
        done = mudrock("train", folder, "--recipe", recipe, "--out", out, *options)
        assert done.exit_code in (ExitCode.SOME_FAILED, ExitCode.USAGE), done.output
        return done.stderr

    (tmp_path / "empty").mkdir()
    assert "no images found" in train(tmp_path / "empty")
    write_pair(tmp_path / "one", "a", 0)
    assert "a is the only micrograph: nothing can be held out" in train(tmp_path / "one")
    for number in range(3):
        write_pair(tmp_path / "tiles", f"7_{number}_a", number)
    assert "7 is the one source of all 3 files" in train(tmp_path / "tiles")
    label = data / "labels" / "b.png"
    Image.fromarray(np.arange(70 * 90, dtype=np.uint8).reshape(70, 90)).save(label)
    assert "b.png: no phase mask" in train(data)
    label.unlink()
    (data / "labels" / "c.png").unlink()
    Image.fromarray(np.ones((70, 90), np.uint8)).save(data / "labels" / "a.png")
    write_pair(data, "d", 9)
    Image.fromarray(np.ones((70, 90), np.uint8)).save(data / "labels" / "d.png")
    assert "the labels show silt alone" in train(data)
