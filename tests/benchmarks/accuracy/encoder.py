"""Make the encoder that tells whether a micrograph looks like those a model was trained on.

python tests/benchmarks/accuracy/encoder.py \\
    ../shared/data/weights/mobilenetv2_1.00_224_imagenet_backbone.npz \\
    mudrock_cli/deeplab/appearance.xml

writes the `.xml` and its `.bin` from the ImageNet weights of Keras Applications' MobileNetV2: what
`mudrock_cli.deeplab.training_range` compiles.
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import openvino

from mudrock_cli.deeplab.model import halve_kernels
from mudrock_cli.deeplab.network import build_network, give_start
from mudrock_cli.deeplab.recipe import load_recipe
from mudrock_cli.deeplab.training_range import SIDE

LAYER = "block_13_project_BN"


def build_encoder(weights: Path) -> keras.Model:
    """Return grey (1, 384, 384, 1), normalised → means of 160 features (1, 160)."""
    recipe = load_recipe("fast").network
    network = build_network(recipe, SIDE, SIDE)
    give_start(network, str(weights), recipe)
    features = keras.layers.GlobalAveragePooling2D()(network.get_layer(LAYER).output)
    encoder = keras.Model(network.input, features)
    grey = keras.Input((SIDE, SIDE, 1), batch_size=1, name="grey")
    return keras.Model(grey, encoder(grey, training=False))


def main(weights: str, out: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch, "raw.xml")
        build_encoder(Path(weights)).export(str(raw), format="openvino", verbose=False)
        graph = openvino.Core().read_model(raw)
        graph.reshape([1, SIDE, SIDE, 1])
        halve_kernels(graph)
        openvino.save_model(graph, out, compress_to_fp16=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
