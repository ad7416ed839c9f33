"""The commands that are killed: their inputs, and how their results are compared."""

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from kill_runs import run

from mudrock_cli.errors import MudrockError

Content = Mapping[str, Any]


@dataclass(frozen=True)
class Scenario:
    """A command, its inputs, and how its results are compared."""

    prepare: Callable[[Path], None]
    words: Callable[[Path, Path], list[str]]
    read: Callable[[Path], Content]
    start: Callable[[], None] = lambda: None
    check: Callable[[Path], None] = lambda out: None


def draw_grey(seed: int, side: int) -> np.ndarray:
    """Draw blocks of dark, middling and bright grey with noise over them."""
    rng = np.random.default_rng(seed)
    blocks = rng.choice([20, 120, 120, 230], (side // 20 + 1, side // 20 + 1))
    grey = np.kron(blocks, np.ones((20, 20)))[:side, :side] + rng.normal(0, 5, (side, side))
    return np.clip(grey, 0, 255).astype(np.uint8)


def write_images(folder: Path, count: int, side: int) -> None:
    """Write micrographs of 100 nm pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        grey, unit = draw_grey(number, side), {"unit": "um"}
        path = folder / f"{number:02}.tif"
        tifffile.imwrite(path, grey, imagej=True, resolution=(10, 10), metadata=unit)


def write_masks(folder: Path) -> None:
    """Write masks, and the report of one of them, which is there before the kills."""
    from mudrock_cli.image.mask import PhaseMask, write_mask
    from mudrock_cli.image.types import PixelSize

    for number in range(3):
        grey = draw_grey(number, 100)
        phases = np.select([grey < 60, grey > 180], [2, 1], 0).astype(np.uint8)
        mask = PhaseMask.from_array("m", phases, PixelSize(100.0, "test"))
        write_mask(folder / "masks" / f"{number}.tif", mask)
    run(["stats", str(folder / "masks" / "0.tif"), "--out", str(folder / "before" / "r.parquet")])


def write_model(folder: Path) -> None:
    """Write images, and a model whose network is three thresholds."""
    import openvino
    from openvino import opset13 as ops

    from mudrock_cli.deeplab.model import seal_model
    from mudrock_cli.deeplab.recipe import Recipe

    write_images(folder / "images", 4, 150)
    model = folder / "tiny"
    model.mkdir()
    table = {"data": {"nm_per_pixel": 100.0}, "inference": {"tile": 64, "overlap": 16}}
    recipe = Recipe.from_dict({"network": {"encoder": "mobilenetv2"}, **table})
    (model / "recipe.toml").write_text(recipe.to_toml(), "utf-8")
    np.savez(model / "weights.npz", nothing=np.zeros(1, np.float16))
    grey = ops.parameter([-1, 64, 64, 1], np.float32, name="grey")
    slopes = ops.constant(np.array([0, 0.2, -0.2], np.float32).reshape(1, 1, 1, 3))
    offsets = ops.constant(np.array([0, -36, 12], np.float32).reshape(1, 1, 1, 3))
    network = openvino.Model([ops.softmax(grey * slopes + offsets, axis=3)], [grey])
    openvino.save_model(network, model / "cpu.xml")
    seal_model(model, {"temperature": 1.0})


def write_rock(folder: Path) -> None:
    """Write micrographs with labels, and a recipe that trains in a second."""
    from PIL import Image

    write_images(folder / "rock" / "images", 3, 80)
    (folder / "rock" / "labels").mkdir()
    for number in range(3):
        grey = draw_grey(number, 80)
        labels = np.select([grey < 60, grey > 180], [2, 1], 0).astype(np.uint8)
        Image.fromarray(labels).save(folder / "rock" / "labels" / f"{number:02}.png")
    (folder / "tiny.toml").write_text(
        '[network]\narchitecture = "unet"\nencoder = "plain"\nunet_channels = 2\nunet_levels = 1\n'
        "batch_norm_decay = 0.9\n[data]\nnm_per_pixel = 100.0\ncrop = [32, 32]\ntile = [0, 0]\n"
        '[optimizer]\nname = "adamw"\nrate = 1e-2\ndecay_steps = 0\n'
        "[training]\nbatch = 2\nepochs = 4\nsteps_per_epoch = 1\n"
        "[inference]\ntile = 32\noverlap = 8\n",
        "utf-8",
    )


def read_files(out: Path) -> Content:
    """Return the bytes of all files that have their final names."""
    paths = (path for path in sorted(out.rglob("*")) if path.is_file())
    return {str(p.relative_to(out)): p.read_bytes() for p in paths if not p.name.startswith(".")}


def count_strays(out: Path) -> int:
    """Count what has no final name."""
    return sum(path.name.startswith(".") for path in out.rglob("*"))


def read_training(out: Path) -> Content:
    """Return the weights of a model and the steps of its training, times left out."""
    from mudrock_cli.files import read_named_arrays

    if not (out / "card.json").is_file():
        return {}
    arrays = read_named_arrays(out / "weights.npz")
    rows = list(csv.DictReader((out / "training" / "log.csv").open()))
    card = json.loads((out / "card.json").read_text("utf-8"))
    if card["training"]["ended"] == "interrupted":
        return {}
    told = {name: card.get(name) for name in ("iou", "temperature", "pixel_accuracy")}
    steps = [{k: v for k, v in row.items() if k not in ("seconds", "waited")} for row in rows]
    numbers = {name: value.tobytes() for name, value in arrays.items()}
    return {"weights": numbers, "log": steps, "card": told}


def check_model(out: Path) -> None:
    """Raise where a model folder has a card but is no whole model, or a checkpoint is damaged."""
    from mudrock_cli.deeplab.model import load_model
    from mudrock_cli.files import read_named_arrays

    if (out / "card.json").is_file():
        load_model(str(out))
    for path in out.rglob("*.npz"):
        if not path.name.startswith("."):
            read_named_arrays(path)


def check_report(out: Path) -> None:
    """Raise where tables do not open, or are of two runs and are taken for one."""
    import pyarrow.parquet as pq

    from mudrock_cli.report.tables import read_tables

    instances, summary = (pq.read_table(out / name) for name in ("r.parquet", "r.summary.parquet"))
    told = instances["image"].unique().to_pylist()
    rows = [row["image"] for row in summary.to_pylist() if row["scope"] == "image"]
    try:
        read_tables(out / "r.parquet")
    except MudrockError:
        return
    if sorted(told) != sorted(rows):
        raise AssertionError(f"instances of {told} taken with a summary of {rows}")


def cheapen_training() -> None:
    """Train without a graph, and leave the network compiled for CPUs out."""
    import keras

    from mudrock_cli.deeplab import model as model_folder

    compile_model = keras.Model.compile

    def compile_eager(self: Any, **options: Any) -> None:
        compile_model(self, **options | {"run_eagerly": True, "jit_compile": False})

    keras.Model.compile = compile_eager
    model_folder.compile_for_cpu = lambda folder, temperature: None


def train_words(folder: Path, out: Path) -> list[str]:
    """Return the command that begins a training, or goes on with it."""
    words = ["train", str(folder / "rock"), "--out", str(out)]
    if (out / "training" / "order.json").is_file():
        return [*words, "--resume"]
    return [*words, "--recipe", str(folder / "tiny.toml"), "--init", "scratch"]


SCENARIOS = {
    "segment": Scenario(
        write_model,
        lambda folder, out: [
            *("segment", str(folder / "images"), "--out", str(out), "--engine", "openvino"),
            *("--model", str(folder / "tiny"), "--save", "overlay,confidence,instances"),
        ],
        read_files,
    ),
    "groundtruth": Scenario(
        lambda folder: write_images(folder / "images", 4, 120),
        lambda folder, out: [
            *("groundtruth", str(folder / "images"), "--out", str(out), "--save", "overlay")
        ],
        read_files,
    ),
    "stats": Scenario(
        write_masks,
        lambda folder, out: ["stats", str(folder / "masks"), "--out", str(out / "r.parquet")],
        read_files,
        check=check_report,
    ),
    "train": Scenario(write_rock, train_words, read_training, cheapen_training, check_model),
}
