"""Layer normalisation as HTP has it: one operator, over the last axis, scaled by unsigned numbers.

HTP takes a quantised LayerNormalization whose scale is uint8, and none whose scale is int8 as other weights
are (QNN 2.51, every architecture). ONNX Runtime's quantiser would give it the weights' type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mosaic_deploy.graph.index import GraphIndex

if TYPE_CHECKING:
    import onnx

_SCALE = 1
"""Which input of LayerNormalization it is."""
_HIGHEST_RANK = 4


def scales_of_normalisations(model: onnx.ModelProto) -> dict[str, list[dict[str, Any]]]:
    """Overrides, as ONNX Runtime's quantiser takes them: constant scales of LayerNormalization as uint8."""
    from onnxruntime.quantization import QuantType

    constants = {tensor.name for tensor in model.graph.initializer}
    names = {
        node.input[_SCALE]
        for node in model.graph.node
        if node.op_type == "LayerNormalization" and node.input[_SCALE] in constants
    }
    return {name: [{"quant_type": QuantType.QUInt8, "symmetric": False}] for name in sorted(names)}


def fusible(model: onnx.ModelProto) -> bool:
    """Whether ONNX Runtime's fusion to LayerNormalization would be right, and taken.

    It looks at no axes, so every mean must be over the last axis alone, of a tensor that HTP normalises.
    """
    graph = GraphIndex(model)
    return all(_last_axis(node, graph) for node in model.graph.node if node.op_type == "ReduceMean")


def _last_axis(node: onnx.NodeProto, graph: GraphIndex) -> bool:
    shape = graph.shape(node.input[0])
    axes = [axis for a in node.attribute if a.name == "axes" for axis in a.ints]
    if len(node.input) > 1:
        given = graph.constant(node.input[1])
        axes = [] if given is None else [int(axis) for axis in given.reshape(-1)]
    if any(reader.op_type == "Sub" for reader in graph.consumers(node.output[0])):
        return shape is not None and len(shape) <= _HIGHEST_RANK and axes in ([-1], [len(shape) - 1])
    return True
