"""What runs the network on a batch of tiles: OpenVINO on a CPU, Keras where a GPU is usable."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.inference.compiled import read_graph
from mudrock_cli.deeplab.inference.graph_statistics import (
    find_graph_statistics,
    normalise_graph,
    read_graph_statistics,
)
from mudrock_cli.deeplab.model.zoo import TrainedModel
from mudrock_cli.deeplab.network.statistics import (
    Statistics,
    find_statistics,
    normalising_by,
    read_statistics,
)
from mudrock_cli.errors import MudrockError

if TYPE_CHECKING:
    import openvino

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
        from mudrock_cli.deeplab.model.export import with_probabilities
        from mudrock_cli.deeplab.network.architecture import build_network
        from mudrock_cli.deeplab.network.weights import load_weights

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
