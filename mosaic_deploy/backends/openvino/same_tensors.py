"""Tensors and weights of an ONNX found in OpenVINO's files that were made from it; runs in a child process.

The converter keeps the names of the ONNX's tensors. Where a FakeQuantize reads one, its levels are the
tensor's grid. Weights lie there as integers behind a Convert and a Multiply, and biases are corrected.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.openvino.ir import constant, read
from mosaic_deploy.backends.stored_weights import write_weights
from mosaic_deploy.workers.progress import OnProgress
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import onnx
    import openvino

_QUANTIZER, _TURN = "FakeQuantize", "Transpose"
_LEVELS = 256
_OFF = 1e-3
"""Share of a step by which the levels may miss zero."""
_BIASED = ("Conv", "ConvTranspose")


def find(request: JsonObject, _on_progress: OnProgress) -> JsonObject:
    """Do as ``backends.file_parts.FileParts.find`` says; raises ``ModelError`` for damaged files."""
    import onnx

    model = read(Path(request["file"]))
    outputs = outputs_of(model)
    tensors = {name: _described(name, output) for name, output in outputs.items()}
    constants = [node for node in model.get_ordered_ops() if node.get_type_name() == "Constant"]
    halves = any(node.get_element_type().get_type_name() == "f16" for node in constants)
    graph = onnx.load(request["onnx"])
    write_weights(Path(request["weights"]), graph, _weights(model), dict(_biases(graph, outputs)))
    return {"tensors": tensors, "halves": halves}


def outputs_of(model: openvino.Model) -> dict[str, Any]:
    """Every name of every tensor that is computed or fed."""
    return {
        name: output
        for node in model.get_ordered_ops()
        if node.get_type_name() not in ("Constant", "Result")
        for output in node.outputs()
        for name in output.get_names()
    }


def quantizer_of(value: Any) -> openvino.Node | None:
    """The quantiser that reads a tensor, past a change of the order of axes, and has a grid.

    The first by name of several.
    """
    readers = [reader.get_node() for reader in value.get_target_inputs()]
    found = [node for node in readers if node.get_type_name() == _QUANTIZER and _grid(node) is not None]
    if found:
        return min(found, key=lambda node: node.get_friendly_name())
    turns = [node for node in readers if node.get_type_name() == _TURN]
    return quantizer_of(turns[0].output(0)) if len(turns) == len(readers) == 1 else None


def _described(name: str, value: Any) -> dict[str, object]:
    """Fields of a ``FileTensor``."""
    quantizer = quantizer_of(value)
    grid = None if quantizer is None else _grid(quantizer)
    return {
        "stored": name,
        "axes": None,
        "scale": grid[0] if grid else None,
        "zero_point": grid[1] if grid else 0,
        "dtype": "uint8",
        "integers": False,
    }


def _grid(quantizer: openvino.Node) -> tuple[float, int] | None:
    """Step and zero point of a quantiser of one range with zero among its 256 levels."""
    if quantizer.get_attributes()["levels"] != _LEVELS:
        return None
    ends = [constant(quantizer, place) for place in (1, 2, 3, 4)]
    if any(end.size != 1 for end in ends):
        return None
    low, high, *out = (float(end.item()) for end in ends)
    if not high > low or [low, high] != out:
        return None
    scale = (high - low) / (_LEVELS - 1)
    zero = round(-low / scale)
    return (scale, zero) if 0 <= zero < _LEVELS and abs(-low / scale - zero) <= _OFF else None


def _weights(model: openvino.Model) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Integers with the step of each, Constant (i8) -> Convert -> Multiply by a constant; and floats."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Constant" and node.get_element_type().get_type_name() == "f32":
            yield np.array(node.data), np.zeros(1, np.float32)
        if node.get_type_name() != "Multiply":
            continue
        first, second = (value.get_node() for value in node.input_values())
        stored = first.input_value(0).get_node() if first.get_type_name() == "Convert" else first
        if stored.get_type_name() == second.get_type_name() == "Constant" and stored is not first:
            yield np.array(stored.data), np.array(second.data, np.float32)


def _biases(graph: onnx.ModelProto, outputs: dict[str, Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Of convolutions, by the names of the ONNX's initialisers."""
    sizes = {tensor.name: tuple(tensor.dims) for tensor in graph.graph.initializer}
    for node in graph.graph.node:
        if node.op_type not in _BIASED or len(node.input) < 3 or node.output[0] not in outputs:
            continue
        made = outputs[node.output[0]].get_node()
        values = _constant(made.input_value(1).get_node()) if made.get_type_name() == "Add" else None
        size = sizes.get(node.input[2])
        if values is not None and size is not None and values.size == size[0]:
            yield node.input[2], values.astype(np.float32).reshape(size)


def _constant(node: openvino.Node) -> NDArray[Any] | None:
    """What a constant holds, behind a change of its shape or type."""
    while node.get_type_name() in ("Reshape", "Convert"):
        node = node.input_value(0).get_node()
    return np.array(node.data) if node.get_type_name() == "Constant" else None
