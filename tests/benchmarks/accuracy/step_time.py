"""CPU seconds that steps of a training by `fast` cost: the first, with its graph, and others.

Run from the checkout: python tests/benchmarks/accuracy/step_time.py
As it is; without oneDNN's kernels; with Keras' AdamW in place of the fused one. TensorFlow reads
its switch when it is imported, so each turn is a process of its own; they alternate. Beside each
stands what a product of 2000 × 2000 matrices costs in the same process.
"""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

WAYS = {
    "as it is": ("1", "fused"),
    "without oneDNN": ("0", "fused"),
    "Keras' AdamW": ("1", "keras"),
}
TURNS = 2
STEPS = 5


def measure(adamw: str) -> None:
    """Print CPU seconds of a matrix product, of the first step (with its graph) and of others."""
    matrix = np.random.default_rng(0).random((2000, 2000), np.float32)
    began = time.process_time()
    matrix @ matrix
    product = time.process_time() - began

    from mudrock_cli.deeplab.weights import start_backend

    start_backend()
    import keras

    from mudrock_cli.deeplab import training
    from mudrock_cli.deeplab.network import build_network
    from mudrock_cli.deeplab.recipe import load_recipe

    if adamw == "keras":
        training.FusedAdamW = keras.optimizers.AdamW
    recipe = load_recipe("fast")
    recipe = replace(recipe, optimizer=replace(recipe.optimizer, decay_steps=500))
    size, batch = recipe.data.crop, recipe.training.batch
    network = build_network(recipe.network, *size)
    loss, scores = training.PhaseLoss(recipe.loss), training.PhaseScores()
    network.compile(training.make_optimizer(recipe), loss, metrics=[scores])
    rng = np.random.default_rng(0)
    grey = rng.uniform(0, 255, (batch, *size, 1)).astype(np.float32)
    labels = rng.integers(0, 3, (batch, *size)).astype(np.uint8)
    seconds = []
    for _ in range(1 + STEPS):
        began = time.process_time()
        network.train_on_batch(grey, labels)
        seconds.append(time.process_time() - began)
    print(f"{product:.3f} {seconds[0]:.2f} {np.median(seconds[1:]):.3f}")


def main() -> None:
    found: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for _ in range(TURNS):
        for way, (switch, adamw) in WAYS.items():
            done = subprocess.run(
                [sys.executable, __file__, adamw],
                env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": switch},
                capture_output=True,
                text=True,
                check=True,
            )
            found[way].append([float(word) for word in done.stdout.split()])
    for way, rows in found.items():
        product, first, step = np.median(rows, axis=0)
        print(
            f"{way:15s} first {first:5.1f}, others {step:.2f}, matrix product {product:.3f} CPU s"
        )


if __name__ == "__main__":
    measure(sys.argv[1]) if len(sys.argv) > 1 else main()
