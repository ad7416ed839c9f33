"""`train MASKS --init MODEL`: a model is taught by masks that were corrected by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from command_runs import run
from PIL import Image

from mudrock_cli.deeplab.model import TrainedModel, load_model, seal_model, write_model
from mudrock_cli.deeplab.recipe import Recipe
from mudrock_cli.errors import ExitCode
from mudrock_cli.files import hash_file, read_named_arrays
from mudrock_cli.image.mask import PhaseMask, write_mask
from mudrock_cli.image.micrograph import Micrograph
from mudrock_cli.image.types import PixelSize

pytestmark = [
    pytest.mark.network,
    pytest.mark.filterwarnings("ignore:__array__ implementation"),  # Keras saves so
]

SMALL = (
    *("--set", "data.crop=[32, 48]", "--set", "optimizer.rate=1e-2"),
    *("--set", "training.epochs=3", "--set", "training.steps_per_epoch=2"),
    *("--set", "training.batch=2"),
)
BLACK, GREY, WHITE = 40, 120, 190
RECIPE = Recipe.from_dict(
    {
        "network": {
            "architecture": "unet",
            "encoder": "plain",
            "unet_channels": 4,
            "unet_levels": 1,
            "batch_norm_decay": 0.9,
        },
        "data": {"tile": (0, 0), "mirrored": False, "images": 0},
        "augment": {"scale": (0.9, 1.1), "noise": 3.0},
        "inference": {"tile": 64, "overlap": 16},
    }
)


def draw(seed: int, levels: tuple[int, int, int] = (GREY, WHITE, BLACK)) -> tuple[Any, Any]:
    """Draw discs of silt and pores in clay, shape (70, 90)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:70, :90]
    labels = np.zeros((70, 90), np.uint8)
    for phase in (1, 2) * 5:
        row, column = rng.integers(70), rng.integers(90)
        labels[(rows - row) ** 2 + (columns - column) ** 2 < 81] = phase
    grey = np.array(levels)[labels] + rng.normal(0, 6, labels.shape)
    return np.clip(grey, 0, 255).astype(np.uint8), labels


def write_micrograph(path: Path, grey: npt.NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, grey, imagej=True, resolution=(100, 100), metadata={"unit": "um"})
    return path


def write_mask_of(path: Path, image: Path, labels: npt.NDArray[np.uint8], nm: float = 10.0) -> None:
    """Write a mask as `segment` does: it knows its micrograph by its hash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"software": "mudrock", "input": {"name": path.stem, "sha256": hash_file(image)}}
    write_mask(path, PhaseMask.from_array(path.stem, labels, PixelSize(nm, "test"), told))


@pytest.fixture
def start(quick: None, tmp_path: Path) -> TrainedModel:
    """A network that has learned nothing yet, in the folder of a model."""
    import keras

    from mudrock_cli.deeplab.network import build_network

    keras.utils.set_random_seed(1)
    tile = RECIPE.inference.tile
    network = build_network(RECIPE.network, tile, tile)
    facts = {
        "data": {
            "name": "old",
            "split": "all",
            "parts": {"train": {"parents": ["old_1", "old_2"], "files": 2, "megapixels": 1.0}},
        },
        "licence": "MIT",
        "domain": {"grey_skew": {"low": -0.1, "high": 0.1}},
        "confidence_temperature": 1.2,
    }
    return write_model(tmp_path / "models" / "start", RECIPE, network, facts, 1.5)


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Three micrographs, and a folder of their masks."""
    for seed, name in enumerate(("a", "b", "c")):
        grey, labels = draw(seed)
        image = write_micrograph(tmp_path / "micrographs" / f"{name}.tif", grey)
        write_mask_of(tmp_path / "masks" / f"{name}.tif", image, labels)
    return tmp_path / "masks"


def teach(masks: Path, out: Path, start: TrainedModel, *options: object) -> Any:
    folder = masks.parent / "micrographs"
    where = ("--micrographs", folder) if folder.is_dir() else ()
    return run("train", masks, "--init", start.path, "--out", out, *where, *SMALL, *options)


def test_strokes_teach_the_last_layer_alone(
    masks: Path, tmp_path: Path, start: TrainedModel
) -> None:
    for path in masks.glob("*.tif"):
        strokes = np.asarray(Image.open(path)).copy()
        strokes[np.arange(len(strokes)) % 7 > 1] = 255
        Image.fromarray(strokes).save(path)
    out = tmp_path / "models" / "mine"
    done = teach(masks, out, start, "--recipe", "strokes")
    assert done.exit_code == ExitCode.DONE, done.output
    assert "mine: finished" in done.output
    before, after = (read_named_arrays(model / "weights.npz") for model in (start.path, out))
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert {name.split("/")[0] for name in changed} == {"phase_scores"}
    assert "the last layer alone" in (out / "card.md").read_text("utf-8")


def test_corrected_masks_teach_a_model(masks: Path, tmp_path: Path, start: TrainedModel) -> None:
    corrected = np.asarray(Image.open(masks / "b.tif")).copy()
    corrected[:9] = 255
    Image.fromarray(corrected).save(masks / "b.png")  # as GIMP saves it
    Image.fromarray(np.asarray(Image.open(masks / "c.tif"))).save(masks / "c.tif")  # no provenance
    old = tmp_path / "old"
    write_micrograph(old / "images" / "old_1.tif", draw(7)[0])
    (old / "labels").mkdir()
    Image.fromarray(draw(7)[1]).save(old / "labels" / "old_1.png")
    out = tmp_path / "models" / "mine"
    done = teach(masks, out, start, "--keep", old)
    assert done.exit_code == ExitCode.DONE, done.output
    assert "masks of one image; the corrected b.png is taken" in done.stderr
    assert "epoch 3 of 3" in done.stderr
    model = load_model(str(out))
    assert model.recipe.network == start.recipe.network
    assert model.recipe.inference == start.recipe.inference
    assert model.recipe.augment == start.recipe.augment
    assert (model.temperature, model.confidence_temperature) == (1.5, 1.2)
    card = model.card
    assert card["licence"] == "MIT"
    assert card["data"]["parts"]["train"]["parents"] == ["a", "b", "c"]
    told = card["finetuning"]
    assert not told["other_rock"]
    assert (told["start"], told["known"]) == ("start", ["old_1", "old_2"])
    assert told["halves_pixels"] == sum(
        int((np.asarray(Image.open(masks / name)) != 255).sum())
        for name in ("a.tif", "b.png", "c.tif")
    )
    scores, kept = (
        {row["share"]: row["mean"] for row in told[part]} for part in ("halves", "kept")
    )
    assert set(scores) == set(kept) == {0.0, 0.25, 0.5, 0.75}
    allowed = [share for share in kept if kept[share] >= kept[0.0] - 0.01]
    best = max(scores[share] for share in allowed)
    assert told["share"] == max(share for share in allowed if scores[share] >= best - 0.03)
    low = card["domain"]["grey_skew"]["low"]
    assert low <= -0.1  # that of the start, widened by what it learned from
    text = " ".join((out / "card.md").read_text("utf-8").split())
    assert "On old_1, which it was to keep: IoU mean" in text
    assert "No micrograph was held out" in done.stdout
    segmented = run(
        "segment", masks.parent / "micrographs", "--model", out, "--out", tmp_path / "m"
    )
    assert segmented.exit_code == ExitCode.DONE, segmented.output


def test_one_micrograph_is_enough_and_nothing_is_invented(
    masks: Path, tmp_path: Path, start: TrainedModel
) -> None:
    for name in ("b", "c"):
        (masks / f"{name}.tif").unlink()
    labels = np.asarray(Image.open(masks / "a.tif")).copy()
    labels[:, 40:] = 255  # a tile of it
    write_mask_of(masks / "a.tif", masks.parent / "micrographs" / "a.tif", labels)
    out = tmp_path / "mine"
    done = teach(masks, out, start)
    assert done.exit_code == ExitCode.DONE, done.output
    card = load_model(str(out)).card
    assert card["finetuning"]["halves"] == []
    assert "judged" not in card
    assert "the gain is not measured" in done.stdout
    text = " ".join((out / "card.md").read_text("utf-8").split())
    assert "No micrograph was held out" in text
    assert "What it lost on the micrographs of start (old_1, old_2) is not measured" in text
    assert [*card["data"]["parts"]] == ["train"]


def test_of_another_rock_all_is_taken_on(masks: Path, tmp_path: Path, start: TrainedModel) -> None:
    from mudrock_cli.deeplab.training_range import RANGE, FeatureDistribution, encode_appearance

    seen = [Micrograph.from_array(str(seed), draw(seed)[0]) for seed in (5, 6, 7)]
    windows = {each.name: [encode_appearance(each, 10.0)] for each in seen}
    FeatureDistribution.gather(windows).write(start.path / RANGE)
    facts = {key: value for key, value in start.card.items() if key != "sha256"}
    facts["domain"] |= {"distance": {"low": 0.0, "high": 0.01}}
    seal_model(start.path, facts)
    out = tmp_path / "models" / "mine"
    done = teach(masks, out, start, "--set", "training.epochs=1")
    assert done.exit_code == ExitCode.DONE, done.output
    told = load_model(str(out)).card["finetuning"]
    assert told["other_rock"]
    assert told["halves"] == []  # nothing of the start is to be weighed against
    text = " ".join((out / "card.md").read_text("utf-8").split())
    assert "outside the training range of start: another rock" in text
    assert "the weights are those that the labels taught" in text


@pytest.mark.parametrize(("stage", "epochs"), [("training", 1), ("half of the labels, 1 of 2", 3)])
def test_ctrl_c_leaves_a_model_and_resume_finishes_it(
    masks: Path,
    tmp_path: Path,
    start: TrainedModel,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    epochs: int,
) -> None:
    from mudrock_cli.commands.console import TrainingConsole

    out, tell, begin = tmp_path / "mine", TrainingConsole.on_step, TrainingConsole.on_stage
    begun: list[str] = []

    def note(self: Any, title: str, *rest: Any) -> None:
        begun.append(title)
        begin(self, title, *rest)

    def stop(self: Any, epoch: int, step: int, *rest: Any) -> None:
        tell(self, epoch, step, *rest)
        if begun[-1] == stage and (epoch, step) == (2, 1):
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainingConsole, "on_stage", note)
    monkeypatch.setattr(TrainingConsole, "on_step", stop)
    settings = ("--set", f"training.halves={str(stage != 'training').lower()}")
    done = teach(masks, out, start, *settings)
    assert done.exit_code == ExitCode.INTERRUPTED, done.output
    card = load_model(str(out)).card
    assert (card["training"]["ended"], card["training"]["epochs_done"]) == ("interrupted", epochs)
    assert "was stopped: nothing is measured" in (out / "card.md").read_text("utf-8")
    monkeypatch.setattr(TrainingConsole, "on_step", tell)
    done = run("train", masks, "--out", out, "--resume")
    assert done.exit_code == ExitCode.DONE, done.output
    resumed = load_model(str(out))
    assert resumed.card["training"]["epochs_done"] == 3
    whole = teach(masks, tmp_path / "whole", start, *settings)
    assert whole.exit_code == ExitCode.DONE, whole.output
    same = load_model(str(tmp_path / "whole"))
    with np.load(resumed.weights) as one, np.load(same.weights) as other:
        assert all(np.allclose(one[name], other[name], atol=1e-3) for name in other)


def test_a_taught_model_can_be_taught_longer(
    masks: Path, tmp_path: Path, start: TrainedModel
) -> None:
    out = tmp_path / "mine"
    assert teach(masks, out, start).exit_code == ExitCode.DONE
    done = run("train", masks, "--out", out, "--resume", "--set", "training.epochs=6")
    assert done.exit_code == ExitCode.DONE, done.output
    model = load_model(str(out))
    assert model.card["training"]["epochs_done"] == 6
    assert model.recipe.optimizer.decay_steps == 3 * 2  # the schedule stays what it was


def test_what_is_kept_has_the_pixel_size_that_is_given(
    masks: Path, tmp_path: Path, start: TrainedModel
) -> None:
    grey, labels = draw(7)
    for folder, array in (("images", grey), ("labels", labels)):
        (tmp_path / "old" / folder).mkdir(parents=True)
        Image.fromarray(array).save(tmp_path / "old" / folder / "old.png")
    out, keep = tmp_path / "mine", ("--keep", tmp_path / "old")
    refuse(
        ExitCode.SOME_FAILED,
        "no pixel size",
        *(masks, "--init", start.path, "--out", out, *SMALL, *keep),
        *("--micrographs", masks.parent / "micrographs"),
    )
    done = teach(masks, out, start, *keep, "--pixel-size", "10nm")
    assert done.exit_code == ExitCode.DONE, done.output
    assert load_model(str(out)).card["finetuning"]["kept_micrographs"] == ["old"]


def refuse(expected: ExitCode, message: str, *words: object) -> None:
    done = run("train", *words)
    assert done.exit_code == expected, done.output
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_bad_input_is_told_in_a_line(masks: Path, tmp_path: Path, start: TrainedModel) -> None:
    out = tmp_path / "mine"
    words = (masks, "--init", start.path, "--out", out, *SMALL)
    refuse(
        ExitCode.SOME_FAILED,
        "a.tif: no image of this name or content (--micrographs FOLDER that holds it)",
        *words,
    )
    places = ("--micrographs", tmp_path / "micrographs")
    refuse(ExitCode.USAGE, "nowhere: ", *words, "--micrographs", tmp_path / "nowhere")
    image = tmp_path / "micrographs" / "a.tif"
    write_micrograph(image, draw(9)[0])
    changed = f"{image}: has changed since {masks / 'a.tif'} was made of it (SHA-256 differs)"
    refuse(ExitCode.SOME_FAILED, changed, *words, *places)
    write_mask_of(masks / "a.tif", image, draw(9)[1], nm=14.0)
    sizes = "a.tif: 14 nm per pixel, its image 10 nm (--pixel-size LENGTH"
    refuse(ExitCode.SOME_FAILED, sizes, *words, *places)
    for name in ("b", "c"):
        (masks / f"{name}.tif").unlink()
    strokes = np.full((70, 90), 255, np.uint8)
    strokes[3, 3:6] = (0, 1, 2)
    write_mask_of(masks / "a.tif", image, strokes)
    few = "3 labelled pixels of 10 nm in all are too few to learn from hint: paint 500 or more"
    refuse(ExitCode.SOME_FAILED, few, *words, *places)
    assert not (out / "card.json").exists()


def test_a_start_that_cannot_be_fine_tuned_is_told(
    masks: Path, tmp_path: Path, start: TrainedModel
) -> None:
    forest = tmp_path / "models" / "forest"
    forest.mkdir()
    for path in start.path.glob("*.*"):
        (forest / path.name).write_bytes(path.read_bytes())
    recipe = Recipe.from_dict({"network": {"architecture": "forest", "encoder": "plain"}})
    (forest / "recipe.toml").write_text(recipe.to_toml(), "utf-8")
    seal_model(forest, {})
    words = (masks, "--out", tmp_path / "mine")
    refuse(ExitCode.USAGE, "a random forest has no weights to start", *words, "--init", forest)
    finetune = ("--recipe", "finetune", "--init")
    refuse(ExitCode.USAGE, "is no model, and recipe finetune", *words, *finetune, "imagenet")
    changed = ("--init", start.path, "--set", "network.unet_channels=8")
    refuse(ExitCode.USAGE, "fine-tuning keeps the network of the model", *words, *changed)
    kept = ("--recipe", "fast", "--keep", masks)
    refuse(ExitCode.USAGE, "trains anew and keeps nothing of a start", *words, *kept)


def test_a_phase_that_nobody_painted_is_remarked(
    masks: Path, tmp_path: Path, start: TrainedModel
) -> None:
    for name in ("a", "b", "c"):
        labels = np.asarray(Image.open(masks / f"{name}.tif")).copy()
        labels[labels == 2] = 255
        write_mask_of(masks / f"{name}.tif", tmp_path / "micrographs" / f"{name}.tif", labels)
    done = teach(masks, tmp_path / "mine", start)
    assert done.exit_code == ExitCode.DONE, done.output
    assert "no label shows pore: nothing is learned of it" in done.stderr
