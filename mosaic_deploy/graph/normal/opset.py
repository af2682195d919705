"""Graphs of opsets 13 to 17 raised to 18, so that one form of each operator is judged and rewritten.

    ReduceMean(axes = [2, 3])    becomes    ReduceMean(x, [2, 3])
    Split -> three outputs       becomes    Split(num_outputs = 3)

Other operators of these opsets mean the same in 18: their schemas only gained types, inputs that may be left
out, and attributes with a default (https://onnx.ai/onnx/operators/). A graph with one that does not is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_deploy.graph.reader.names import graphs

if TYPE_CHECKING:
    import onnx

OPSET = 18
_FIRST = 13
_OTHER_MEANING = frozenset({"Scan"})
"""Operators whose bodies name axes."""

_WAS = {"RoiAlign": ("coordinate_transformation_mode", 16, "output_half_pixel")}
"""Attributes that came with an opset, and whose default is not what the operator did before."""


def raised(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """Copy a model with opset 18; None where it has that or a later one already, or cannot be raised.

    Shapes are as they were.
    """
    import onnx

    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    if not _FIRST <= opset < OPSET or not all(
        _means_the_same(node, opset) for graph, _ in graphs(model.graph) for node in graph.node
    ):
        return None
    fresh = onnx.ModelProto()
    fresh.CopyFrom(model)
    for graph, _ in graphs(fresh.graph):
        for node in graph.node:
            if node.domain in ("", "ai.onnx"):
                _convert(node, fresh.graph, opset)
    for entry in fresh.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = OPSET
    return fresh


def _means_the_same(node: onnx.NodeProto, opset: int) -> bool:
    """Whether a node may be written in the new opset as it is, or as ``_convert`` does."""
    import onnx

    if node.domain not in ("", "ai.onnx"):
        return True
    try:
        old, new = (onnx.defs.get_schema(node.op_type, version, "") for version in (opset, OPSET))
    except onnx.defs.SchemaError:
        return False
    if old.since_version == new.since_version or node.op_type.startswith("Reduce"):
        return not new.deprecated
    if node.op_type == "BatchNormalization" and len(node.output) > 1:
        return False
    kept = set(old.attributes) <= set(new.attributes) and old.min_input == new.min_input
    return kept and not new.deprecated and node.op_type not in _OTHER_MEANING


def _convert(node: onnx.NodeProto, graph: onnx.GraphProto, opset: int) -> None:
    import onnx

    attributes = {attribute.name: attribute for attribute in node.attribute}
    name, since, was = _WAS.get(node.op_type, ("", 0, ""))
    if opset < since and name not in attributes:
        node.attribute.append(onnx.helper.make_attribute(name, was))
    if node.op_type == "Split" and len(node.input) < 2 and "num_outputs" not in attributes:
        node.attribute.append(onnx.helper.make_attribute("num_outputs", len(node.output)))
    if node.op_type.startswith("Reduce") and "axes" in attributes and len(node.input) == 1:
        name = f"{node.output[0]}/axes"
        axes = np.asarray(attributes["axes"].ints, np.int64)
        graph.initializer.append(onnx.numpy_helper.from_array(axes, name))
        node.input.append(name)
        kept = [attribute for name, attribute in attributes.items() if name != "axes"]
        del node.attribute[:]
        node.attribute.extend(kept)
