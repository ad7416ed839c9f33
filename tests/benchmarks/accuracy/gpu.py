"""Networks that a CPU cannot train, trained and judged on one GPU in the minutes that it is lent.

On an H200, 12 minutes in all, into a folder that comes back:

    KERAS_BACKEND=jax python tests/benchmarks/accuracy/gpu.py ../shared/data/kumano --out gpu \
        --network paper --network resnet50v1 \
        --init resnet50v1=../shared/data/weights/resnet50v1_imagenet_conv1-4.npz

``paper`` is the paper's recipe (ResNet-101, output stride 8) from random weights; ``resnet50v1``
is `fast` with that encoder. Both compute in bfloat16. Each network is trained once without each
fold of source micrographs, for as many steps as its share of the time allows, and judged on them as
`segment` would. Below ``--out``, for each network:

- ``figures.json``: steps a second, share of the GPU's bfloat16 rate, scores of each micrograph;
- ``held-out/``: masks for `evaluate` and `fold_table.py`;
- ``fold-N/``: recipe, curves (``log.csv``), weights in half precision in files below 16 MiB.

Whole checkpoints with the optimiser's state go to ``--scratch``; a ResNet-101 has half a gigabyte.
"""

import argparse
import dataclasses
import json
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from mudrock_cli.deeplab.weights import start_backend  # noqa: E402

if __name__ == "__main__":
    # A network is compiled once for the timing and for all folds.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", tempfile.mkdtemp(prefix="jax-cache-"))
    start_backend()

import keras  # noqa: E402

from mudrock_cli.cross_validation import judge_network  # noqa: E402
from mudrock_cli.deeplab.augmentation import make_tiles  # noqa: E402
from mudrock_cli.deeplab.dataset import Sample, load_samples  # noqa: E402
from mudrock_cli.deeplab.network import build_network, give_start  # noqa: E402
from mudrock_cli.deeplab.recipe import Recipe, change_recipe, load_recipe  # noqa: E402
from mudrock_cli.deeplab.split import Split, split_in_folds  # noqa: E402
from mudrock_cli.deeplab.training import Trained, complete_recipe, train_network  # noqa: E402

NETWORKS = {
    "paper": ("paper", ["training.precision=mixed_bfloat16"]),
    "resnet50v1": (
        "fast",
        [
            "network.encoder=resnet50v1",
            "training.precision=mixed_bfloat16",
            "training.batch=16",
        ],
    ),
}
H200_RATE = 989e12  # dense bfloat16 operations a second, by its data sheet
FILE_BYTES = 15 << 20  # of weights in one file
TRIAL_STEPS = 20  # timed before the folds
SPARE = 0.25  # of the time, for compiling and judging
Arrays = Mapping[str, npt.NDArray[Any]]


class Printer:
    """Prints the epochs of a training."""

    def on_step(self, epoch: int, step: int, steps: int, figures: Mapping[str, float]) -> None:
        """Keep quiet."""

    def on_epoch(self, row: Mapping[str, float | None]) -> None:
        """Print the figures of an epoch."""
        shown = {name: value for name, value in row.items() if value is not None}
        print("  ".join(f"{name} {value:.4g}" for name, value in shown.items()), flush=True)


def count_operations(network: keras.Model) -> float:
    """Return the multiplications and additions of convolutions for one image, forwards."""
    total = 0.0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2DTranspose):
            total += 2 * math.prod(layer.input.shape[1:3]) * math.prod(layer.kernel.shape)
        elif isinstance(layer, keras.layers.DepthwiseConv2D):
            total += 2 * math.prod(layer.output.shape[1:]) * math.prod(layer.kernel_size)
        elif isinstance(layer, keras.layers.Conv2D):
            total += 2 * math.prod(layer.output.shape[1:3]) * math.prod(layer.kernel.shape)
    return total


def split_arrays(arrays: Arrays, most: int = FILE_BYTES) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Yield arrays in half precision, in groups of at most `most` bytes (or of one array)."""
    group: dict[str, npt.NDArray[Any]] = {}
    held = 0
    for name, array in arrays.items():
        half = array.astype(np.float16)
        if group and held + half.nbytes > most:
            yield group
            group, held = {}, 0
        group[name] = half
        held += half.nbytes
    if group:
        yield group


def train(
    recipe: Recipe, samples: Sequence[Sample], split: Split, init: str, folder: Path
) -> tuple[Recipe, Trained]:
    """Train on the training part of a split."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    data = recipe.data
    tiles = make_tiles(
        split.choose(samples, "train"), data, data.parts[0], seed=recipe.training.seed
    )
    recipe = complete_recipe(recipe, tiles)

    def start(network: keras.Model) -> None:
        print(give_start(network, init, recipe.network), flush=True)

    return recipe, train_network(recipe, tiles, [], folder, start, Printer())


def fit_time(recipe: Recipe, seconds_a_step: float, seconds: float) -> Recipe:
    """Return the recipe with as many epochs of 100 steps as fit, its own number at most."""
    own = recipe.training.epochs * recipe.training.steps_per_epoch or math.inf
    steps = max(2.0, min(own, seconds / seconds_a_step))
    length = min(100, int(steps))
    changes = {
        "training.steps_per_epoch": length,
        "training.epochs": int(steps) // length,
        "optimizer.decay_steps": 0,
        "optimizer.warmup_steps": min(recipe.optimizer.warmup_steps, int(steps) // 10),
    }
    return change_recipe(recipe, [f"{name}={value}" for name, value in changes.items()])


def run(
    recipe: Recipe, data: Path, init: str, out: Path, scratch: Path, folds: int, seconds: float
) -> dict[str, Any]:
    """Time a network's steps, train it on every fold, judge it; return the figures."""
    ends = time.monotonic() + seconds
    samples = load_samples(data, recipe.data).samples
    splits = split_in_folds(samples, folds, recipe.training.seed)
    trial = dataclasses.replace(recipe.training, epochs=2, steps_per_epoch=TRIAL_STEPS)
    trial_recipe = dataclasses.replace(recipe, training=trial)
    _, timed = train(trial_recipe, samples, splits[0], init, scratch / "trial")
    a_step = float(timed.progress.history[-1]["seconds"] or 0.0) / TRIAL_STEPS
    operations = count_operations(build_network(recipe.network, *recipe.data.crop))
    rate = 3 * operations * recipe.training.batch / a_step  # a step goes forwards once, back twice
    figures: dict[str, Any] = {
        "steps_a_second": 1 / a_step,
        "operations_a_second": rate,
        "share_of_h200": rate / H200_RATE,
        "folds": [],
    }
    for number, split in enumerate(splits, start=1):
        left = (ends - time.monotonic()) / (folds + 1 - number)
        planned = fit_time(recipe, a_step, (1 - SPARE) * left)
        folder = out / f"fold-{number}"
        complete, trained = train(planned, samples, split, init, scratch / folder.name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recipe.toml").write_text(complete.to_toml(), "utf-8")
        shutil.copy(scratch / folder.name / "log.csv", folder)
        for part, arrays in enumerate(split_arrays(trained.weights), start=1):
            np.savez(folder / f"weights-{part:02d}.npz", **arrays)
        tile = recipe.inference.tile
        network = build_network(recipe.network, tile, tile)
        for variable in network.weights:
            variable.assign(trained.weights[variable.path])
        found = judge_network(network, samples, split, complete, out / "held-out")
        steps = complete.training.epochs * complete.training.steps_per_epoch
        figures["folds"].append({"steps": steps, **found.facts("the micrographs held out")})
        (out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the networks that the command line names, each in its share of the time."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--network", action="append", choices=NETWORKS, default=[])
    parser.add_argument("--init", action="append", default=[], metavar="NETWORK=START")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    given = parser.parse_args(arguments)
    starts = dict(pair.split("=", 1) for pair in given.init)
    ends = time.monotonic() + 60 * given.minutes
    names = given.network or list(NETWORKS)
    with tempfile.TemporaryDirectory() as spare:
        scratch = given.scratch or Path(spare)
        for number, name in enumerate(names):
            recipe, own = NETWORKS[name]
            figures = run(
                load_recipe(recipe, [*own, *given.settings]),
                given.data,
                starts.get(name, "scratch"),
                given.out / name,
                scratch / name,
                given.folds,
                (ends - time.monotonic()) / (len(names) - number),
            )
            print(name, json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
