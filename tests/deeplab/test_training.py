"""The training loop: learns, resumes, stops, and never loses what it had."""

import csv
import errno
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mudrock_cli.deeplab.dataset import Sample
from mudrock_cli.deeplab.recipe import Recipe
from mudrock_cli.errors import MudrockError

pytestmark = pytest.mark.network


@pytest.fixture(autouse=True)
def run_eagerly(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare most tests the tracing of a graph, which takes longer than their training."""
    import keras

    if request.function is test_a_network_learns_one_image_by_heart:
        return  # many steps
    compile_model = keras.Model.compile

    def compile_eager(self: Any, **options: Any) -> None:
        compile_model(self, **options | {"run_eagerly": True, "jit_compile": False})

    monkeypatch.setattr(keras.Model, "compile", compile_eager)


class Silent:
    """A watcher that remembers, and can do something at a step."""

    def __init__(self, at: tuple[int, int] | None = None, act: Callable[[], None] | None = None):
        self.steps: list[tuple[int, int]] = []
        self.rows: list[dict[str, float | None]] = []
        self.losses: list[float] = []
        self._at, self._act = at, act

    def on_step(self, epoch: int, step: int, steps: int, figures: Mapping[str, float]) -> None:
        self.steps.append((epoch, step))
        self.losses.append(figures["loss"])
        if self._act and (epoch, step) == self._at:
            self._act()

    def on_epoch(self, row: dict[str, float | None]) -> None:
        self.rows.append(row)

    def on_stage(self, title: str, epochs: int = 0) -> None:
        pass


def stop() -> None:
    raise KeyboardInterrupt


def train(
    recipe: Recipe,
    samples: list[Sample],
    folder: Path,
    watcher: Silent | None = None,
    validation: list[Sample] | None = None,
    **options: Any,
) -> Any:
    from mudrock_cli.deeplab.training import complete_recipe, train_network

    folder.mkdir(exist_ok=True)
    complete = complete_recipe(recipe, samples)
    return train_network(
        complete,
        samples,
        validation or [],
        folder,
        lambda network: None,
        watcher or Silent(),
        **options,
    )


def change(recipe: Recipe, section: str, **values: Any) -> Recipe:
    return replace(recipe, **{section: replace(getattr(recipe, section), **values)})


def test_a_network_learns_one_image_by_heart(
    make_sample: Callable[..., Sample], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    from mudrock_cli.cross_validation import count_by_sample, score_confusion
    from mudrock_cli.deeplab.engine import KerasEngine
    from mudrock_cli.deeplab.network import build_network

    table = tiny_recipe.to_dict()
    table["network"]["unet_channels"] = 8
    table["augment"] |= {"noise": 0.0, "brightness": 0.0, "scale": (1.0, 1.0)}
    table["loss"]["weight_decay"] = 0.0
    table["training"] |= {"epochs": 4, "steps_per_epoch": 30, "average": 0.8, "batch": 4}
    recipe = Recipe.from_dict(table)
    sample = make_sample()
    trained = train(recipe, [sample], tmp_path / "t")
    network = build_network(recipe.network, 64, 64)
    for weight in network.weights:
        weight.assign(trained.weights[weight.path])
    counts = count_by_sample(KerasEngine(network), [sample], recipe)[0][0]
    scores = score_confusion(counts)
    assert min(v for k, v in scores.items() if "iou" in k and v is not None) > 0.95
    assert trained.ended == "finished"
    assert trained.progress.epochs == 4


def test_resumed_is_as_if_never_stopped(
    make_sample: Callable[..., Sample], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    samples = [make_sample("a", seed=1), make_sample("b", seed=2)]
    held = [make_sample("c", seed=3)]
    whole = train(tiny_recipe, samples, tmp_path / "whole", validation=held)
    broken = train(tiny_recipe, samples, tmp_path / "parts", Silent((2, 2), stop), held, key="same")
    assert (broken.ended, broken.progress.epochs) == ("interrupted", 1)
    watcher = Silent()
    resumed = train(
        tiny_recipe, samples, tmp_path / "parts", watcher, held, key="same", resume=True
    )
    assert watcher.steps[0] == (2, 1)
    assert set(resumed.weights) == set(whole.weights)
    for name, value in whole.weights.items():
        assert np.array_equal(value, resumed.weights[name]), name
    clocks = ("seconds", "waited")
    for one, other in zip(whole.progress.history, resumed.progress.history, strict=True):
        assert {k: v for k, v in one.items() if k not in clocks} == {
            k: v for k, v in other.items() if k not in clocks
        }
    with (tmp_path / "parts" / "log.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[2]["validation_iou_mean"]) == whole.progress.history[2]["validation_iou_mean"]


def test_a_seed_gives_the_same_first_steps(
    make_sample: Callable[..., Sample], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    losses = []
    for seed in (1, 1, 2):
        watcher = Silent((1, 3), stop)
        train(change(tiny_recipe, "training", seed=seed), [make_sample()], tmp_path, watcher)
        losses.append(watcher.losses)
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_stopped_in_its_first_epoch_it_has_weights(
    make_sample: Callable[..., Sample], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    trained = train(tiny_recipe, [make_sample()], tmp_path, Silent((1, 1), stop))
    assert trained.ended == "interrupted"
    assert trained.progress.epochs == 0
    assert all(np.isfinite(value).all() for value in trained.weights.values())


def test_a_checkpoint_of_another_training_is_not_taken_up(
    make_sample: Callable[..., Sample], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    recipe = change(tiny_recipe, "training", epochs=1)
    train(recipe, [make_sample()], tmp_path, key="one")
    with pytest.raises(MudrockError, match="checkpoint of another training"):
        train(recipe, [make_sample()], tmp_path, key="other", resume=True)
    (tmp_path / "last.npz").write_bytes(b"PK not really")
    with pytest.raises(MudrockError, match="no whole file"):
        train(recipe, [make_sample()], tmp_path, key="one", resume=True)


@pytest.fixture
def poisoned(make_sample: Callable[..., Sample], monkeypatch: pytest.MonkeyPatch) -> Sample:
    """From the second epoch on, crops hold a number that is none."""
    from mudrock_cli.deeplab import augmentation as crops

    plain = crops.TrainingCrops.__getitem__

    def poison(self: Any, step: int) -> Any:
        grey, labels = plain(self, step)
        if (self._epoch, step) == (1, 1):
            grey[0, 0, 0] = np.nan
        return grey, labels

    monkeypatch.setattr(crops.TrainingCrops, "__getitem__", poison)
    return make_sample()


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_weights(
    poisoned: Sample, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    trained = train(tiny_recipe, [poisoned], tmp_path)
    assert trained.ended == "the loss became nan in epoch 2, step 2"
    assert trained.progress.epochs == 1
    assert all(np.isfinite(value).all() for value in trained.weights.values())


def test_a_loss_that_is_no_number_at_once_says_what_to_do(
    make_sample: Callable[..., Sample], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    wild = change(tiny_recipe, "optimizer", name="momentum", rate=99.0, warmup_steps=0)
    wild = change(wild, "training", steps_per_epoch=200)
    wild = change(wild, "loss", weight_decay=1.0)
    with pytest.raises(MudrockError, match=r"the loss became (nan|inf) in epoch 1, step") as caught:
        train(wild, [make_sample()], tmp_path)
    assert "optimizer.rate" in caught.value.hint


def test_a_full_disk_leaves_the_checkpoint_before(
    make_sample: Callable[..., Sample],
    tiny_recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mudrock_cli.deeplab import weights

    save, calls = np.savez, []

    def fill_up(file: Any, **arrays: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(file, **arrays)

    monkeypatch.setattr(weights.np, "savez", fill_up)
    with pytest.raises(MudrockError, match=r"last\.npz: cannot be written \(No space left"):
        train(tiny_recipe, [make_sample()], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"last.npz", "log.csv", "tensorboard"}
    watcher = Silent()
    assert train(tiny_recipe, [make_sample()], tmp_path, watcher, resume=True).ended == "finished"
    assert watcher.steps[0] == (2, 1)


def test_averages_and_statistics_are_what_they_say(
    make_sample: Callable[..., Sample], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """With an average of nearly 1, the kept weights stay near those after the first step."""
    recipe = change(tiny_recipe, "training", average=0.99999, epochs=1)
    slow = train(recipe, [make_sample()], tmp_path / "slow").weights
    plain = train(change(recipe, "training", average=0.0), [make_sample()], tmp_path / "fast")
    kernel, mean = "bottom_1_conv/kernel", "bottom_1_bn/moving_mean"
    assert not np.array_equal(slow[kernel], plain.weights[kernel])
    assert np.array_equal(slow[mean], plain.weights[mean])  # statistics are not averaged


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_is_gone_afterwards(
    make_sample: Callable[..., Sample], tiny_recipe: Recipe, tmp_path: Path, precision: str
) -> None:
    import keras

    recipe = change(tiny_recipe, "training", precision=precision, epochs=2)
    trained = train(recipe, [make_sample()], tmp_path, Silent((2, 1), stop))
    resumed = train(recipe, [make_sample()], tmp_path, resume=True)
    assert trained.progress.epochs == 1
    assert resumed.ended == "finished"
    assert {value.dtype for value in resumed.weights.values()} == {np.dtype(np.float32)}
    assert keras.config.dtype_policy().name == "float32"
