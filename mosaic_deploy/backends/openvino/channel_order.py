"""ONNX graphs written so that OpenVINO leaves the order of channels to the operators that state it.

OpenVINO folds an operator that reorders channels into the weights of the convolutions behind it. It does so
with the order itself where the inverse is due: right for RGB to BGR, wrong for any other order. The same
with three parts of a Split that a Concat joins again; of parts of several channels it makes a graph that
does not compile. (2026.4.1; its transformation "ReverseInputChannelsFusion", which no option turns off.)
It looks for axes that are counted from the front, so here they are counted from the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_REORDERING = ("Gather", "Concat")


def count_from_the_end(model: onnx.ModelProto) -> None:
    """Turn the axis of each Gather and Concat  axis=1  into  axis=1-rank, the same axis.

    Nodes stay as they are whose input's rank is unknown, and those in bodies of If and Loop.
    """
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    ranks = {
        v.name: len(v.type.tensor_type.shape.dim) for v in values if v.type.tensor_type.HasField("shape")
    }
    for node in model.graph.node:
        rank = ranks.get(node.input[0]) if node.op_type in _REORDERING and not node.domain else None
        if rank is None:
            continue
        axis = next((attribute for attribute in node.attribute if attribute.name == "axis"), None)
        if axis is None:  # Gather's default
            node.attribute.append(onnx.helper.make_attribute("axis", -rank))
        elif axis.i >= 0:
            axis.i -= rank


def _rank(value: onnx.ValueInfoProto | onnx.TensorProto) -> int | None:
    import onnx

    if isinstance(value, onnx.TensorProto):
        return len(value.dims)
    kind = value.type.tensor_type
    return len(kind.shape.dim) if kind.HasField("shape") else None
