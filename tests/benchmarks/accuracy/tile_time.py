"""CPU seconds that a tile of 448 × 448 pixels costs with other encoders.

Run from the checkout: taskset -c 0 python tests/benchmarks/accuracy/tile_time.py
With ONEDNN_MAX_CPU_ISA=AVX2 before it, the same on a CPU that has no AVX-512. The networks take
turns, on one thread, with random weights; the first is that which ships, compiled as it ships.
"""

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from mudrock_cli.deeplab.weights import start_backend  # noqa: E402

start_backend()  # without its notices

from mudrock_cli.deeplab.model import load_model, write_model  # noqa: E402
from mudrock_cli.deeplab.network import build_network  # noqa: E402

ENCODERS = ("mobilenetv2", "resnet50v1")
TURNS = 15
SETTINGS = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}


def main() -> None:
    shipped = load_model()
    tile, core = shipped.recipe.inference.tile, openvino.Core()
    with tempfile.TemporaryDirectory() as folder:
        compiled = {"shipped": shipped.path}
        for encoder in ENCODERS:
            shape = replace(shipped.recipe.network, encoder=encoder)
            recipe, path = replace(shipped.recipe, network=shape), Path(folder, encoder)
            facts = {"data": {"name": "none", "split": "all", "parts": {}}}
            compiled[encoder] = write_model(
                path, recipe, build_network(shape, tile, tile), facts, 1.0
            ).path
        requests = {}
        for name, path in compiled.items():
            network = core.read_model(path / "cpu.xml")
            network.reshape([1, tile, tile, 1])
            requests[name] = core.compile_model(network, "CPU", SETTINGS).create_infer_request()
    grey = np.random.default_rng(0).uniform(0, 255, (1, tile, tile, 1)).astype(np.float32)
    seconds: dict[str, list[float]] = {name: [] for name in requests}
    for turn in range(TURNS + 1):
        for name, request in requests.items():
            began = time.process_time()
            request.infer([grey])
            if turn:  # the first one warms up
                seconds[name].append(time.process_time() - began)
    for name, found in seconds.items():
        print(f"{name:12s} {np.median(found):.3f} CPU seconds")


if __name__ == "__main__":
    main()
