"""A compiled network that somebody else may have made: looked through before anything runs it."""

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from mudrock_cli.errors import MudrockError
from mudrock_cli.image.bad_input import describe
from mudrock_cli.image.facts import parse_tree

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
        root = parse_tree(path.read_text("utf-8"))
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
