"""A trained network to OpenVINO's IR, the form in which a CPU runs it fast."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.model.zoo import COMPILED
from mudrock_cli.errors import MudrockError

if TYPE_CHECKING:
    import keras
    import openvino

_KERNEL_SIZE = 4096  # numbers; a vector of the network has fewer
_HALF_LIMIT = 60_000.0  # float16 ends at 65504
_TOLERANCE = 0.01  # mean difference of a probability: the weights are rounded to 16 bit


def compile_for_cpu(folder: Path, temperature: float) -> None:
    """Write ``cpu.xml`` and ``cpu.bin`` beside the recipe and weights of a model.

    The conversion always runs on TensorFlow, in a process of its own: whatever backend trained
    the network, OpenVINO runs the graph that it reads from TensorFlow about five times faster
    than the ones it traces from PyTorch or from Keras operations.

    Parameters
    ----------
    folder : Path
        Holds ``recipe.toml`` and ``weights.npz``.
    temperature : float
        Divides the logits before the softmax, positive (Guo et al. 2017, arXiv:1706.04599).

    Raises
    ------
    MudrockError
        If the conversion fails, or the compiled network's probabilities are not the network's.
    """
    environment = os.environ | {
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "CI": "true",  # keeps OpenVINO's converter from sending usage statistics
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    arguments = [sys.executable, "-m", __name__, str(folder), str(temperature)]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last_line = (done.stderr.strip() or "no message").splitlines()[-1]
        raise MudrockError(
            f"the network cannot be compiled for CPUs: {last_line}",
            "if the disk is full, make room; then --resume",
        )


def _convert(folder: Path, temperature: float) -> None:
    """Rebuild, convert, compare and move into place; runs in the process of its own."""
    import keras
    import openvino

    from mudrock_cli.deeplab.network.architecture import build_network
    from mudrock_cli.deeplab.network.weights import load_weights
    from mudrock_cli.deeplab.recipes.recipe import Recipe

    recipe = Recipe.from_toml((folder / "recipe.toml").read_text("utf-8"), "recipe.toml")
    tile = recipe.inference.tile
    network, marked = (build_network(recipe.network, tile, tile) for _ in range(2))
    for copy in (network, marked):
        load_weights(copy, folder / "weights.npz")
    marks = _mark_norms(marked)
    model = with_probabilities(network, temperature)
    with tempfile.TemporaryDirectory(prefix=".compile-", dir=folder) as scratch:
        raw = Path(scratch, "raw.xml")
        with_probabilities(marked, temperature).export(str(raw), format="openvino", verbose=False)
        graph = openvino.Core().read_model(raw)
        graph.outputs[0].get_tensor().set_names({"probabilities"})
        small = Path(scratch, COMPILED[0])
        _restore_norms(graph, network, marks)
        _halve_kernels(graph)
        openvino.save_model(graph, small, compress_to_fp16=False)
        _compare(model, small, tile)
        for name in reversed(COMPILED):  # the .xml names the .bin, so it comes last
            Path(scratch, name).replace(folder / name)
    keras.backend.clear_session()


def with_probabilities(network: "keras.Model", temperature: float) -> "keras.Model":
    """Return the network with softmax(logits / temperature) as its output.

    Inference is written into the graph: Keras 3.15's ``Resizing`` layer turns ``training`` on for
    every layer after it wherever a model is called or exported without saying ``training=False``.
    """
    import keras

    grey = keras.Input(network.input.shape[1:], name="grey")
    logits = keras.layers.Rescaling(1 / temperature, dtype="float32")(network(grey, training=False))
    return keras.Model(grey, keras.layers.Softmax(dtype="float32")(logits))


def _mark_norms(network: "keras.Model") -> dict[str, npt.NDArray[np.float32]]:
    """Turn each batch norm of a network into the addition of a vector of its own; return these.

    A conversion melts batch norms into the convolutions before them, and forgets their names.
    """
    import keras

    rng = np.random.default_rng(0)
    marks = {}
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            mark = rng.standard_normal(layer.beta.shape).astype(np.float32)
            layer.gamma.assign(np.ones_like(mark))
            layer.beta.assign(mark)
            layer.moving_mean.assign(np.zeros_like(mark))
            layer.moving_variance.assign(np.full_like(mark, 1 - layer.epsilon))
            marks[layer.name] = mark
    return marks


def _restore_norms(
    graph: "openvino.Model", network: "keras.Model", marks: Mapping[str, npt.NDArray[np.float32]]
) -> None:
    """Put a network's batch norms in the places of its marks, each by its name and whole.

    Whoever runs the graph can let it normalise by other statistics.
    """
    from openvino import opset13 as ops

    left = dict(marks)
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "Add":
            continue
        added = node.input_value(1).get_node()
        if added.get_type_name() != "Constant" or added.get_data().ndim != 4:
            continue
        vector = added.get_data()[0, :, 0, 0]
        found = [
            name
            for name, mark in left.items()
            if mark.shape == vector.shape and np.allclose(mark, vector, atol=1e-4)
        ]
        if found:
            layer = network.get_layer(found[0])
            numbers = (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
            norm = ops.batch_norm_inference(
                node.input_value(0), *(np.asarray(number) for number in numbers), layer.epsilon
            )
            norm.set_friendly_name(layer.name)
            node.output(0).replace(norm.output(0))
            del left[layer.name]
    if left:
        raise MudrockError(f"the batch norm {min(left)} was lost on the way")


def _halve_kernels(graph: "openvino.Model") -> None:
    """Store kernels in 16 bit, and nothing else: variances may lie below the smallest float16."""
    import openvino
    from openvino import opset13 as ops

    for node in graph.get_ordered_ops():
        is_number = node.get_type_name() == "Constant"
        if is_number and node.get_element_type() == openvino.Type.f32:
            values = node.get_data()
            if values.size >= _KERNEL_SIZE and np.abs(values).max() < _HALF_LIMIT:
                half = ops.constant(values.astype(np.float16))
                node.output(0).replace(ops.convert(half, "f32").output(0))


def _compare(model: "keras.Model", compiled: Path, tile: int) -> None:
    import openvino

    grey = np.random.default_rng(0).uniform(0, 255, (1, tile, tile, 1)).astype(np.float32)
    expected: npt.NDArray[np.float32] = np.asarray(model(grey, training=False))
    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    found = openvino.Core().compile_model(compiled, "CPU", precise)(grey)[0]
    difference = float(np.abs(found - expected).mean())
    if not difference < _TOLERANCE:
        raise MudrockError(f"its probabilities differ by {difference:.3f} from the network's")


if __name__ == "__main__":
    _convert(Path(sys.argv[1]), float(sys.argv[2]))
