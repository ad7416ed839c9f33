"""Batch statistics in a compiled network: read, found for other images, put in."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mudrock_cli.deeplab.network.statistics import Statistics, name_mean, name_variance

if TYPE_CHECKING:
    import openvino

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
