"""Layer normalisation as HTP has it: one operator, over the last axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mosaic_deploy.graph.index import GraphIndex

if TYPE_CHECKING:
    import onnx

_HIGHEST_RANK = 4


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
