"""A compiled network that somebody else may have made: looked through before anything runs it."""

import logging
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.model import TrainedModel
from mudrock_cli.deeplab.weights import (
    Statistics,
    find_statistics,
    name_mean,
    name_variance,
    normalising_by,
    read_statistics,
)
from mudrock_cli.errors import MudrockError, describe
from mudrock_cli.files import parse_xml

if TYPE_CHECKING:
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


# Batch statistics in a compiled network: read, found for other images, put in.

_MEAN, _VARIANCE = 3, 4  # inputs of a BatchNormInference, after data, scale and offset
_STREAMS = 2  # batches at a time, each by one thread: so the sums are the same on every machine


def read_graph_statistics(graph: "openvino.Model") -> Statistics:
    """Return what a compiled network normalises by; nothing if its batch norms are melted in."""
    statistics = {}
    for norm in _find_norms(graph):
        name = norm.get_friendly_name()
        for index, key in ((_MEAN, name_mean(name)), (_VARIANCE, name_variance(name))):
            number = norm.input_value(index).get_node()
            if number.get_type_name() != "Constant":
                return {}
            statistics[key] = np.array(number.get_data(), np.float32)
    return statistics


def normalise_graph(graph: "openvino.Model", statistics: Statistics) -> None:
    """Let a graph normalise by other statistics."""
    from openvino import opset13 as ops

    for norm in _find_norms(graph):
        name = norm.get_friendly_name()
        for index, key in ((_MEAN, name_mean(name)), (_VARIANCE, name_variance(name))):
            norm.input(index).replace_source_output(ops.constant(statistics[key]).output(0))


def find_graph_statistics(graph: "openvino.Model", batches: npt.NDArray[np.float32]) -> Statistics:
    """Return the statistics of some images, each batch normalised by its own on the way.

    Parameters
    ----------
    graph : openvino.Model
        From `read_graph`; is changed.
    batches : ndarray of float32, shape (B, N, tile, tile, 1)
        Of the images.

    Returns
    -------
    dict of ndarray of float32
        Means over the batches; the same bits on every number of threads.
    """
    import openvino

    graph.reshape(list(batches.shape[1:]))
    names = _normalise_by_itself(graph)
    hints = {
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": _STREAMS,
        "INFERENCE_NUM_THREADS": _STREAMS,
    }
    compiled = openvino.Core().compile_model(graph, "CPU", hints)
    first = len(compiled.outputs) - len(names)
    found: list[list[npt.NDArray[np.float32]]] = [[] for _ in batches]

    def collect(request: "openvino.InferRequest", index: int) -> None:
        found[index] = [
            np.array(request.get_output_tensor(first + number).data) for number in range(len(names))
        ]

    queue = openvino.AsyncInferQueue(compiled, _STREAMS)
    queue.set_callback(collect)
    for index, batch in enumerate(batches):
        queue.start_async([np.ascontiguousarray(batch)], index)
    queue.wait_all()
    means = (np.mean(values, axis=0, dtype=np.float64) for values in zip(*found, strict=True))
    return {name: np.asarray(mean, np.float32) for name, mean in zip(names, means, strict=True)}


def _normalise_by_itself(graph: "openvino.Model") -> list[str]:
    """Let a graph normalise each batch by its own statistics, and give these as last outputs."""
    from openvino import opset13 as ops

    names, results = [], []
    for norm in _find_norms(graph):
        data, axes = norm.input_value(0), ops.constant(np.array([0, 2, 3]))
        centre = ops.reduce_mean(data, axes, keep_dims=True)
        away = ops.subtract(data, centre)
        mean = ops.reduce_mean(data, axes, keep_dims=False)
        variance = ops.reduce_mean(ops.multiply(away, away), axes, keep_dims=False)
        norm.input(_MEAN).replace_source_output(mean.output(0))
        norm.input(_VARIANCE).replace_source_output(variance.output(0))
        name = norm.get_friendly_name()
        names += [name_mean(name), name_variance(name)]
        results += [ops.result(mean), ops.result(variance)]
    graph.add_results(results)
    graph.validate_nodes_and_infer_types()
    return names


def _find_norms(graph: "openvino.Model") -> "list[openvino.Node]":
    nodes = graph.get_ordered_ops()
    return [node for node in nodes if node.get_type_name() == "BatchNormInference"]


# What runs the network on a batch of tiles: OpenVINO on a CPU, Keras where a GPU is usable.

Grey = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
Probabilities = npt.NDArray[np.float32]
EngineName = Literal["auto", "openvino", "keras"]

_logger = logging.getLogger("mudrock")
_MOST_STREAMS = 4  # tiles at once: bounds memory on machines with many cores


class Engine(Protocol):
    """Runs a network.

    Attributes
    ----------
    name : str
        What runs it, for the provenance of a mask.
    tile : int
        Side of its square input in pixels.
    batch : int
        How many tiles a call should bring to keep it busy.
    statistics : dict of ndarray
        What the network normalises by; empty where nothing else can be put in its place.
    """

    name: str
    tile: int
    batch: int
    statistics: Statistics

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
        """

    def look(self, batches: npt.NDArray[np.float32]) -> Statistics:
        """Return the statistics of tiles, shape (B, N, tile, tile, 1); means over the batches."""

    def adapt(self, statistics: Statistics) -> Self:
        """Return an engine that normalises by other statistics; this one stays as it is."""


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
    chosen = choose_engine(model, name)
    return OpenVinoEngine(model) if chosen == "openvino" else KerasEngine(model)


class OpenVinoEngine:
    """The compiled network on this machine's CPU, in bfloat16 where the CPU has it."""

    def __init__(self, model: TrainedModel) -> None:
        if model.compiled is None:
            raise MudrockError(
                f"{model.path}: has no network compiled for OpenVINO", "use --engine keras"
            )
        self.name = "openvino"
        self.tile = model.recipe.inference.tile
        self._path = model.compiled
        self._graph = read_graph(model.compiled, self.tile)
        self.statistics = read_graph_statistics(self._graph)
        if model.recipe.inference.adaptation and not self.statistics:
            raise MudrockError(
                f"{model.compiled}: was compiled by an older mudrock",
                "use --engine keras, or train the model again",
            )
        self.batch = 4 * _MOST_STREAMS
        self._queue: openvino.AsyncInferQueue | None = None  # until it has something to predict
        self._results: Probabilities = np.empty((0, self.tile, self.tile, 3), np.float32)

    def _start(self) -> "openvino.AsyncInferQueue":
        import openvino

        hints = {"PERFORMANCE_HINT": "THROUGHPUT", "PERFORMANCE_HINT_NUM_REQUESTS": _MOST_STREAMS}
        with _telling(self._path):
            compiled = openvino.Core().compile_model(self._graph, "CPU", hints)
        queue = openvino.AsyncInferQueue(compiled)
        facts = {
            "engine": self.name,
            "device": openvino.Core().get_property("CPU", "FULL_DEVICE_NAME"),
            "precision": compiled.get_property("INFERENCE_PRECISION_HINT").to_string(),
            "threads": compiled.get_property("INFERENCE_NUM_THREADS"),
            "streams": len(queue),
        }
        _logger.info("engine", extra={"facts": facts})
        queue.set_callback(self._collect)
        return queue

    def _collect(self, request: "openvino.InferRequest", index: int) -> None:
        self._results[index] = request.get_output_tensor(0).data[0]

    def predict(self, tiles: Grey) -> Probabilities:
        """Return the phase probabilities of tiles; see :class:`Engine`."""
        if self._queue is None:
            self._queue = self._start()
        self._results = np.empty((len(tiles), self.tile, self.tile, 3), np.float32)
        for index, tile in enumerate(tiles):
            grey = np.ascontiguousarray(tile[None, :, :, None], np.float32)
            self._queue.start_async([grey], index)
        self._queue.wait_all()
        return _check_finite(self._results, self._path)

    def look(self, batches: npt.NDArray[np.float32]) -> Statistics:
        """Return the statistics of tiles; see :class:`Engine`."""
        with _telling(self._path):
            return find_graph_statistics(self._graph.clone(), batches)

    def adapt(self, statistics: Statistics) -> Self:
        """Return an engine that normalises by other statistics; see :class:`Engine`."""
        adapted = copy(self)
        adapted._graph = self._graph.clone()
        with _telling(self._path):
            normalise_graph(adapted._graph, statistics)
        adapted.statistics, adapted._queue = statistics, None
        return adapted


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    """Say in a line what OpenVINO does not like about a compiled network."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise MudrockError(f"{path}: OpenVINO cannot run it: {reason}") from error


class KerasEngine:
    """The network built from its recipe, on whatever Keras runs on."""

    def __init__(self, model: TrainedModel) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        from mudrock_cli.deeplab.model import with_probabilities
        from mudrock_cli.deeplab.network import build_network
        from mudrock_cli.deeplab.weights import load_weights

        self.name = "keras"
        self.tile = model.recipe.inference.tile
        self.batch = 8 if has_gpu() else 1
        self._network = build_network(model.recipe.network, self.tile, self.tile)
        load_weights(self._network, model.weights)
        self.statistics = read_statistics(self._network)
        self._own: Statistics | None = None
        self._path = model.weights
        self._model = with_probabilities(self._network, model.temperature)
        import keras

        facts = {"engine": self.name, "backend": keras.backend.backend(), "gpu": has_gpu()}
        _logger.info("engine", extra={"facts": facts | {"batch": self.batch}})

    def predict(self, tiles: Grey) -> Probabilities:
        """Return the phase probabilities of tiles; see :class:`Engine`."""
        missing = -len(tiles) % self.batch  # one batch size is one compiled function
        grey = np.pad(tiles[..., None].astype(np.float32), ((0, missing), (0, 0), (0, 0), (0, 0)))
        with normalising_by(self._network, self._own):
            found = self._model.predict(grey, batch_size=self.batch, verbose=0)
        return _check_finite(np.asarray(found, np.float32)[: len(tiles)], self._path)

    def look(self, batches: npt.NDArray[np.float32]) -> Statistics:
        """Return the statistics of tiles; see :class:`Engine`."""
        return find_statistics(self._network, batches)

    def adapt(self, statistics: Statistics) -> Self:
        """Return an engine that normalises by other statistics; see :class:`Engine`."""
        adapted = copy(self)
        adapted.statistics = adapted._own = statistics
        return adapted


def _check_finite(probabilities: Probabilities, path: Path) -> Probabilities:
    """Refuse probabilities that are none, which weights beyond all measure give."""
    if not np.isfinite(probabilities).all():
        raise MudrockError(f"{path}: gives probabilities that are not finite", "train it again")
    return probabilities


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
    return False
