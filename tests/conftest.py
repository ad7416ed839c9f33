from pathlib import Path

import hypothesis
import numpy as np
import pytest

from mudrock_cli.deeplab.model import TrainedModel, seal_model
from mudrock_cli.deeplab.recipe import Recipe

hypothesis.settings.register_profile("shared", deadline=None)  # machines are busy with others' work
hypothesis.settings.load_profile("shared")

TINY_RECIPE = """
[network]
encoder = "mobilenetv2"
output_stride = 16
[data]
nm_per_pixel = 10.0
[augment]
scale = [0.8, 1.25]
[inference]
tile = 64
overlap = 16
"""


def write_threshold_network(path: Path, tile: int) -> None:
    """Compile a network whose answer is known: pore below grey 60, silt above 180, else clay."""
    import openvino
    from openvino import opset13 as ops

    grey = ops.parameter([-1, tile, tile, 1], np.float32, name="grey")
    slopes = ops.constant(np.array([0, 0.2, -0.2], np.float32).reshape(1, 1, 1, 3))
    offsets = ops.constant(np.array([0, -0.2 * 180, 0.2 * 60], np.float32).reshape(1, 1, 1, 3))
    probabilities = ops.softmax(grey * slopes + offsets, axis=3)
    openvino.save_model(openvino.Model([probabilities], [grey]), path)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """A whole model folder with the threshold network, and weights that no engine may need."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    recipe = Recipe.from_toml(TINY_RECIPE)
    (folder / "recipe.toml").write_text(recipe.to_toml(), "utf-8")
    np.savez(folder / "weights.npz", nothing=np.zeros(1, np.float16))
    write_threshold_network(folder / "cpu.xml", recipe.inference.tile)
    return seal_model(
        folder, {"temperature": 1.0, "iou": {"clay": 0.5, "silt": 0.25, "pore": None}}
    )
