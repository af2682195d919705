"""Shapes of every tensor, by onnx's own inference, which is kept from growing without bound."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mosaic_deploy.errors import ModelError

if TYPE_CHECKING:
    import onnx

_SMALL = 1024  # elements up to which a constant may be a shape, which inference wants to see
_PROPAGATED = 10_000
_PASSED_ON = {"Gather", "Slice", "Squeeze", "Unsqueeze", "Cast", "Identity", "Add", "Sub", "Mul", "Div"}
_FLOAT = 1  # TensorProto.FLOAT


def infer(model: onnx.ModelProto) -> None:
    """Check the model natively and note every shape in ``value_info``.

    onnx gets to see a sketch only: a large constant is there an input of its type, which check and
    inference treat alike, and nodes without shape inference are replaced by ones of the same shapes.

    Raises:
        ModelError: ``onnx.checker`` or shape inference object; their words are in the message.
    """
    import onnx

    sketch = _sketch(model)
    bounded = propagated_numbers(model.graph) <= _PROPAGATED
    try:
        onnx.checker.check_model(_with_stated_outputs(sketch))
        inferred = onnx.shape_inference.infer_shapes(
            sketch, check_type=True, strict_mode=True, data_prop=bounded
        )
    except Exception as err:  # onnx's C++ raises several kinds
        lines = [line.strip() for line in str(err).splitlines() if line.strip()]
        raise ModelError(f"not sound ONNX: {' '.join(lines)[:300] or type(err).__name__}") from err
    del model.graph.value_info[:], model.graph.output[:]
    model.graph.value_info.extend(inferred.graph.value_info)
    model.graph.output.extend(inferred.graph.output)


def propagated_numbers(graph: onnx.GraphProto) -> float:
    """Bound the count of numbers that shape inference computes for one tensor of shapes.

    A chain of ``Concat`` with itself doubles them each time, so that forty nodes can fill any memory.
    """
    known: dict[str, float] = {}
    for tensor in graph.initializer:
        known[tensor.name] = float(tensor.dims[0]) if len(tensor.dims) == 1 else 1.0
    largest = 0.0
    for node in graph.node:
        sizes = [known.get(name, 0.0) for name in node.input]
        if node.op_type in ("Shape", "Size", "Constant"):
            size = 64.0
        elif node.op_type == "Concat":
            size = sum(sizes)
        elif node.op_type in _PASSED_ON:
            size = max(sizes, default=0.0)
        else:
            size = 0.0
        largest = max(largest, size)
        known.update(dict.fromkeys(node.output, size))
    return largest


def _sketch(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnx

    sketch = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = sketch.graph
    graph.name = model.graph.name or "network"
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    graph.node.extend(_plain(node, types) for node in model.graph.node)
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    graph.input.extend(model.graph.input)
    stated = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= _SMALL:
            graph.initializer.append(tensor)
        elif tensor.name not in stated:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return sketch


def _with_stated_outputs(sketch: onnx.ModelProto) -> onnx.ModelProto:
    """Leave out outputs without a shape, which the checker forbids and inference completes."""
    import onnx

    checked = onnx.ModelProto()
    checked.CopyFrom(sketch)
    stated = [value for value in sketch.graph.output if value.type.tensor_type.HasField("shape")]
    del checked.graph.output[:]
    checked.graph.output.extend(stated)
    return checked


def _plain(node: onnx.NodeProto, types: dict[str, int]) -> onnx.NodeProto:
    """Replace what onnx infers no shapes for: ``com.microsoft``'s Q and DQ, and ``GroupNormalization``."""
    import onnx

    if node.op_type == "GroupNormalization" and not node.domain:
        return onnx.helper.make_node("Identity", node.input[:1], node.output[:1], name=node.name)
    if node.domain != "com.microsoft" or node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
        return node
    quantizes = node.op_type == "QuantizeLinear" and len(node.input) > 2
    to = types.get(node.input[2], _FLOAT) if quantizes else _FLOAT
    return onnx.helper.make_node("Cast", node.input[:1], node.output[:1], name=node.name, to=to)
