"""CPU seconds that a training step of the recipe `fast` costs, with and without oneDNN's kernels.

Run from the checkout: python tests/benchmarks/accuracy/step_time.py
TensorFlow reads the switch when it is imported, so each turn is a process of its own; they
alternate. Beside each stands what a product of 2000 × 2000 matrices costs in the same process.
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

SWITCH = "TF_ENABLE_ONEDNN_OPTS"
TURNS = 3
STEPS = 5


def measure() -> None:
    """Print CPU seconds of a matrix product, of the first step (with its graph) and of others."""
    matrix = np.random.default_rng(0).random((2000, 2000), np.float32)
    began = time.process_time()
    matrix @ matrix
    product = time.process_time() - began

    from mudrock_cli.deeplab.weights import start_backend

    start_backend()
    from mudrock_cli.deeplab.network import build_network
    from mudrock_cli.deeplab.recipe import load_recipe
    from mudrock_cli.deeplab.training import PhaseLoss, PhaseScores, make_optimizer

    recipe = load_recipe("fast")
    recipe = replace(recipe, optimizer=replace(recipe.optimizer, decay_steps=500))
    size, batch = recipe.data.crop, recipe.training.batch
    network = build_network(recipe.network, *size)
    network.compile(make_optimizer(recipe), PhaseLoss(recipe.loss), metrics=[PhaseScores()])
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
    found: dict[str, list[list[float]]] = {"1": [], "0": []}
    for _ in range(TURNS):
        for switch, rows in found.items():
            done = subprocess.run(
                [sys.executable, __file__, "--measure"],
                env=os.environ | {SWITCH: switch},
                capture_output=True,
                text=True,
                check=True,
            )
            rows.append([float(word) for word in done.stdout.split()])
    for switch, rows in found.items():
        product, first, step = np.median(rows, axis=0)
        print(
            f"{SWITCH}={switch}: step {step:.2f}, first step {first:.0f}, "
            f"matrix product {product:.3f} CPU seconds"
        )


if __name__ == "__main__":
    measure() if "--measure" in sys.argv else main()
