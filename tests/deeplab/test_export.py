"""The compiled network is the network: same weights in, same probabilities out."""

from pathlib import Path

import numpy as np
import pytest

from mudrock_cli.deeplab.engine import OpenVinoEngine, open_engine
from mudrock_cli.deeplab.model import TrainedModel, compile_for_cpu, seal_model
from mudrock_cli.deeplab.recipe import Recipe
from mudrock_cli.errors import MudrockError

pytestmark = pytest.mark.network

RECIPE = {
    "network": {
        "encoder": "mobilenetv2",
        "output_stride": 16,
        "aspp_channels": 16,
        "decoder_channels": 16,
        "detail_channels": 8,
    },
    "inference": {"tile": 64, "overlap": 16},
}
TEMPERATURE = 1.7


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """A network with statistics of its own, compiled.

    A layer that took the batch's statistics for its own, as in training, would show.
    """
    from mudrock_cli.deeplab.network import build_network
    from mudrock_cli.deeplab.weights import save_weights

    folder = tmp_path_factory.mktemp("model")
    recipe = Recipe.from_dict(RECIPE)
    network = build_network(recipe.network, 64, 64)
    rng = np.random.default_rng(0)
    for weight in network.weights:
        if weight.path.endswith(("moving_mean", "beta")):
            weight.assign(rng.normal(0, 0.1, weight.shape))
        elif weight.path.endswith("moving_variance"):
            weight.assign(rng.uniform(0.05, 0.2, weight.shape))
    (folder / "recipe.toml").write_text(recipe.to_toml(), "utf-8")
    save_weights(network, folder / "weights.npz")
    compile_for_cpu(folder, TEMPERATURE)
    return seal_model(folder, {"temperature": TEMPERATURE})


def test_both_engines_give_the_networks_probabilities(model: TrainedModel) -> None:
    import openvino

    from mudrock_cli.deeplab.network import build_network
    from mudrock_cli.deeplab.weights import load_weights

    grey = np.random.default_rng(1).integers(0, 256, (5, 64, 64)).astype(np.uint8)
    network = build_network(model.recipe.network, 64, 64)
    load_weights(network, model.weights)
    logits = network.predict(grey[..., None].astype(np.float32), verbose=0) / TEMPERATURE
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    expected = powers / powers.sum(axis=-1, keepdims=True)
    assert expected.std() > 0.02  # the network tells pixels apart
    assert np.abs(open_engine(model, "keras").predict(grey) - expected).max() < 1e-4
    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(model.compiled, "CPU", precise)
    found = compiled(grey[..., None].astype(np.float32))[0]  # the file takes any batch
    assert np.abs(found - expected).max() < 0.02  # kernels of 16 bit
    assert np.abs(OpenVinoEngine(model).predict(grey) - expected).mean() < 0.02  # bfloat16


def test_the_softmax_is_taken_over_planes(model: TrainedModel) -> None:
    import openvino

    graph = openvino.Core().read_model(model.compiled)
    nodes = [node for node in graph.get_ordered_ops() if node.get_type_name() == "Softmax"]
    assert [node.get_attributes()["axis"] for node in nodes] == [1]
    assert nodes[0].get_output_partial_shape(0)[1] == 3


def test_the_files_are_small_and_name_no_machine(model: TrainedModel) -> None:
    sizes = {path.name: path.stat().st_size for path in model.path.iterdir()}
    assert sizes["cpu.bin"] < 1.3 * sizes["weights.npz"]
    assert set(sizes) == {"recipe.toml", "weights.npz", "cpu.xml", "cpu.bin", "card.json"}
    text = (model.path / "cpu.xml").read_text("utf-8")
    assert str(model.path.parent) not in text
    assert str(Path.home()) not in text


def test_weights_of_another_network_cannot_be_compiled(model: TrainedModel, tmp_path: Path) -> None:
    text = (model.path / "recipe.toml").read_text("utf-8")
    (tmp_path / "recipe.toml").write_text(
        text.replace("aspp_channels = 16", "aspp_channels = 8"), "utf-8"
    )
    (tmp_path / "weights.npz").write_bytes(model.weights.read_bytes())
    with pytest.raises(MudrockError, match=r"cannot be compiled for CPUs: .*weights\.npz"):
        compile_for_cpu(tmp_path, 1.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.toml", "weights.npz"]
