"""The types in which HTP takes the constants of operators, where ONNX Runtime's quantiser gives others.

    LayerNormalization  its scale as uint8: none as int8, which it would get, whatever the activations are
    PRelu               its slopes as uint8: none per channel as uint16, which they would get beside uint16

Each was tried on every architecture (QNN 2.51).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from mosaic_deploy.graph.index import free_name

if TYPE_CHECKING:
    import onnx

_AS_BYTES = {"LayerNormalization": 1, "PRelu": 1}
"""Operator -> which of its inputs is to be uint8."""


def parameter_types(model: onnx.ModelProto) -> dict[str, list[dict[str, Any]]]:
    """Overrides, as ONNX Runtime's quantiser takes them, for the constants that HTP wants as uint8.

    A constant that other operators read as well is given to these operators as their own first.
    """
    from onnxruntime.quantization import QuantType

    names = _own_constants(model)
    return {name: [{"quant_type": QuantType.QUInt8, "symmetric": False}] for name in names}


def _own_constants(model: onnx.ModelProto) -> list[str]:
    """Turn  c -> LayerNormalization, c -> Mul  into  c' -> LayerNormalization, c -> Mul;  the names of c'."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    uses = Counter(name for node in graph.node for name in node.input)
    copies: dict[str, str] = {}
    for node in graph.node:
        index = _AS_BYTES.get(node.op_type)
        if index is None or len(node.input) <= index or node.input[index] not in constants:
            continue
        name = node.input[index]
        alike = sum(_is_taken(other, name) for other in graph.node)
        if name not in copies:
            copies[name] = name if uses[name] == alike else _copied(graph, constants[name])
        node.input[index] = copies[name]
    return sorted(copies.values())


def _is_taken(node: onnx.NodeProto, name: str) -> bool:
    """Whether a node takes a tensor as what HTP wants as uint8."""
    index = _AS_BYTES.get(node.op_type)
    return index is not None and len(node.input) > index and node.input[index] == name


def _copied(graph: onnx.GraphProto, tensor: onnx.TensorProto) -> str:
    import onnx

    own = onnx.TensorProto()
    own.CopyFrom(tensor)
    own.name = free_name(graph, f"{tensor.name}/bytes")
    graph.initializer.append(own)
    return str(own.name)
