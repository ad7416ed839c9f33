"""What runs a network on a batch of tiles; a compiled one is looked through before it runs."""

import logging
import math
import os
import re
from abc import ABC, abstractmethod
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.model import TrainedModel
from mudrock_cli.errors import MudrockError, describe
from mudrock_cli.files import parse_xml

if TYPE_CHECKING:
    import keras
    import openvino


_HINT = "use --engine keras, or train the model again"
_MOST_BYTES = 1 << 26
_MOST_CHANNELS = 4096
_STANDARD = re.compile(r"opset\d+")
_PROGRAMS = {"Assign", "If", "Loop", "ReadValue", "TensorIterator"}
"""Operations that hold a program or a state; no network of a recipe has one."""


def read_graph(path: Path, tile: int) -> "openvino.Model":
    """Read a compiled network for one tile size.

    Parameters
    ----------
    path : Path
        The ``.xml`` of OpenVINO's IR, its ``.bin`` beside it.
    tile : int
        Side of the input in pixels.

    Raises
    ------
    MudrockError
        If it is no network from grey (1, tile, tile, 1) to phases (1, tile, tile, 3) of standard
        operations, or holds a number that is not finite.
    """
    import openvino

    _check_layers(path)
    try:
        graph = openvino.Core().read_model(path)
        graph.reshape([1, tile, tile, 1])  # a fixed batch runs faster
        _check_graph(path, graph, tile)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise MudrockError(f"{path}: OpenVINO cannot run it: {reason}", _HINT) from error
    return graph


def _check_layers(path: Path) -> None:
    """Refuse operations of extensions, programs, and weights that lie outside of the ``.bin``."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise MudrockError(f"{path}: too large for a network", _HINT)
        root = parse_xml(path.read_text("utf-8"))
        stored = path.with_suffix(".bin").stat().st_size
    except (OSError, UnicodeDecodeError) as error:
        raise MudrockError(f"{path}: cannot be read ({describe(error)})", _HINT) from error
    layers = [] if root is None or root.tag != "net" else list(root.iter("layer"))
    if not layers:
        raise MudrockError(f"{path}: OpenVINO cannot run it: no network", _HINT)
    for layer in layers:
        kind = f"{layer.get('type')}"[:40]
        if not _STANDARD.fullmatch(layer.get("version", "")) or kind in _PROGRAMS:
            raise MudrockError(f"{path}: the operation {kind} is none of a network", _HINT)
        if kind == "Const" and not _lies_within(layer.find("data"), stored):
            raise MudrockError(f"{path}: its numbers are not all in {path.stem}.bin", _HINT)


def _lies_within(data: ElementTree.Element | None, stored: int) -> bool:
    """Return whether a constant's bytes lie in a file of `stored` bytes."""
    told = [] if data is None else [data.get("offset", ""), data.get("size", "")]
    if not all(text.isdecimal() and len(text) < 16 for text in told) or not told:
        return False
    return sum(map(int, told)) <= stored


def _check_graph(path: Path, graph: "openvino.Model", tile: int) -> None:
    """Refuse a network of another input or output, of absurd layers, or of numbers that are none.

    Only the first output is read; others are left over from compiling.
    """
    shape, kind = graph.output(0).get_partial_shape(), graph.output(0).get_element_type()
    wanted = f"[1,{tile},{tile},3]"
    if len(graph.inputs) != 1 or str(shape) != wanted or kind.to_string() != "f32":
        raise MudrockError(f"{path}: gives {kind.to_string()} {shape}, not f32 {wanted}", _HINT)
    for node in graph.get_ordered_ops():
        if any(_count(output) > _MOST_CHANNELS * tile * tile for output in node.outputs()):
            raise MudrockError(f"{path}: {node.get_friendly_name()[:60]} is absurdly large", _HINT)
        if node.get_type_name() == "Constant":
            values = node.get_data()
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                name = node.get_friendly_name()[:60]
                raise MudrockError(f"{path}: {name} holds a number that is not finite", _HINT)


def _count(output: Any) -> int:
    """Return the numbers of an output; those of one without a fixed size cannot be told."""
    shape = output.get_partial_shape()
    return math.prod(int(side) for side in shape.to_shape()) if shape.is_static else 0


# What runs the network on a batch of tiles: OpenVINO on a CPU, Keras where a GPU is usable.

Grey = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
Probabilities = npt.NDArray[np.float32]
EngineName = Literal["auto", "openvino", "keras"]

_logger = logging.getLogger("mudrock")
_MOST_STREAMS = 4  # tiles at once: bounds memory on machines with many cores


class Engine(ABC):
    """Runs a model on batches of tiles; the threads of a process take turns with it.

    Parameters
    ----------
    name : str
        What runs it, for the provenance of a mask.
    tile : int
        Side of its square input in pixels.
    batch : int
        How many tiles a call should bring to keep it busy.
    source : str
        What messages call the model.
    """

    def __init__(self, name: str, tile: int, batch: int, source: str) -> None:
        self.name, self.tile, self.batch, self._source = name, tile, batch, source
        self._turn = Lock()

    def predict(self, tiles: Grey) -> Probabilities:
        """Return the phase probabilities of tiles.

        Parameters
        ----------
        tiles : ndarray of uint8 or float32, shape (N, tile, tile)
            Grey levels, 0..255.

        Returns
        -------
        ndarray of float32, shape (N, tile, tile, 3)
            Probabilities of clay, silt, pore.

        Raises
        ------
        MudrockError
            If weights beyond all measure give what is no probability.
        """
        with self._turn:
            found = self._run(tiles)
        if not np.isfinite(found).all():
            raise MudrockError(
                f"{self._source}: gives probabilities that are not finite", "train it again"
            )
        return found

    @abstractmethod
    def _run(self, tiles: Grey) -> Probabilities: ...


def choose_engine(model: TrainedModel, name: EngineName = "auto") -> EngineName:
    """Resolve ``auto``: Keras where a GPU is usable or nothing is compiled, else OpenVINO."""
    if name != "auto":
        return name
    return "keras" if model.compiled is None or has_gpu() else "openvino"


def open_engine(model: TrainedModel, name: EngineName = "auto") -> Engine:
    """Start the engine for a model.

    Parameters
    ----------
    model : TrainedModel
        A loaded model folder.
    name : str
        See `choose_engine`.

    Raises
    ------
    MudrockError
        If the model has no compiled network and OpenVINO is asked for, or a file is damaged.
    """
    if choose_engine(model, name) == "openvino":
        return OpenVinoEngine(model)
    from mudrock_cli.deeplab.network import build_network
    from mudrock_cli.deeplab.weights import load_weights

    tile = model.recipe.inference.tile
    network = build_network(model.recipe.network, tile, tile)
    load_weights(network, model.weights)
    return KerasEngine(network, model.temperature, str(model.weights))


class OpenVinoEngine(Engine):
    """The compiled network of a model on this machine's CPU, in bfloat16 where the CPU has it.

    Raises
    ------
    MudrockError
        If the model has none, or OpenVINO cannot run it.
    """

    def __init__(self, model: TrainedModel) -> None:
        import openvino

        if model.compiled is None:
            raise MudrockError(
                f"{model.path}: has no network compiled for OpenVINO", "use --engine keras"
            )
        path, tile = model.compiled, model.recipe.inference.tile
        super().__init__("openvino", tile, 4 * _MOST_STREAMS, str(path))
        graph = read_graph(path, tile)
        core = openvino.Core()
        hints = {"PERFORMANCE_HINT": "THROUGHPUT", "PERFORMANCE_HINT_NUM_REQUESTS": _MOST_STREAMS}
        try:
            compiled = core.compile_model(graph, "CPU", hints)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise MudrockError(f"{path}: OpenVINO cannot run it: {reason}", _HINT) from error
        self._queue = openvino.AsyncInferQueue(compiled)
        self._queue.set_callback(self._collect)
        self._results: Probabilities = np.empty((0, tile, tile, 3), np.float32)
        facts = {
            "engine": self.name,
            "device": core.get_property("CPU", "FULL_DEVICE_NAME"),
            "precision": compiled.get_property("INFERENCE_PRECISION_HINT").to_string(),
            "threads": compiled.get_property("INFERENCE_NUM_THREADS"),
            "streams": len(self._queue),
        }
        _logger.info("engine", extra={"facts": facts})

    def _collect(self, request: "openvino.InferRequest", index: int) -> None:
        self._results[index] = request.get_output_tensor(0).data[0]

    def _run(self, tiles: Grey) -> Probabilities:
        self._results = np.empty((len(tiles), self.tile, self.tile, 3), np.float32)
        for index, tile in enumerate(tiles):
            grey = np.ascontiguousarray(tile[None, :, :, None], np.float32)
            self._queue.start_async([grey], index)
        self._queue.wait_all()
        return self._results


class KerasEngine(Engine):
    """A network in memory, on whatever Keras runs on.

    Parameters
    ----------
    network : keras.Model
        From `build_network`, for square tiles, with weights.
    temperature : float
        Divides its logits.
    source : str
        What messages call it.
    """

    def __init__(
        self, network: "keras.Model", temperature: float = 1.0, source: str = "the network"
    ) -> None:
        import keras

        from mudrock_cli.deeplab.model import with_probabilities

        super().__init__("keras", int(network.input_shape[1]), 8 if has_gpu() else 1, source)
        self._model = with_probabilities(network, temperature)
        facts = {"engine": self.name, "backend": keras.backend.backend(), "gpu": has_gpu()}
        _logger.info("engine", extra={"facts": facts | {"batch": self.batch}})

    def _run(self, tiles: Grey) -> Probabilities:
        missing = -len(tiles) % self.batch  # one batch size is one compiled function
        grey = np.pad(tiles[..., None].astype(np.float32), ((0, missing), (0, 0), (0, 0), (0, 0)))
        found = self._model.predict(grey, batch_size=self.batch, verbose=0)
        return np.asarray(found, np.float32)[: len(tiles)]


def has_gpu() -> bool:
    """Tell whether Keras can use a GPU, without importing it where there is no NVIDIA device."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1")
    if hidden or not any(Path("/dev").glob("nvidia[0-9]*")):
        return False
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow

        return bool(tensorflow.config.list_physical_devices("GPU"))
    if backend == "torch":
        import torch

        return bool(torch.cuda.is_available())
    import jax

    return any(device.platform == "gpu" for device in jax.devices())
