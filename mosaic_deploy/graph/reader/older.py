"""Opsets 7 to 12 raised to 13: what was an attribute is an input, what was renamed has its present name.

    Clip(min = 0, max = 6)             becomes    Clip(x, 0, 6)
    Upsample(scales)                   becomes    Resize(asymmetric, floor)
    Softmax(axis = 1), on what follows axis 1 taken as one    becomes    Reshape, Softmax(axis = -1), Reshape

Integers with a scale per channel are written from opset 13 on, and every operator has one form from there on.
Nothing here enters native code; what cannot be written in opset 13 is refused with its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.reader.names import graphs
from mosaic_deploy.graph.reader.older_forms import RULES
from mosaic_deploy.graph.reader.scope import Scope

if TYPE_CHECKING:
    import onnx

OPSET = 13
_IR = 7  # came with opset 13
_OWN = ("", "ai.onnx")


def opset_of(model: onnx.ModelProto) -> int:
    """Version of ONNX's own operators that a model is written in."""
    return int(next(o.version for o in model.opset_import if o.domain in _OWN))


def raise_old(model: onnx.ModelProto) -> bool:
    """Rewrite a model of an opset below 13 in opset 13, in place; says whether it was one.

    Args:
        model: with its shapes in ``value_info`` as far as they are known; those of new tensors are not.

    Raises:
        ModelError: a node means something that opset 13 cannot say.
    """
    opset = opset_of(model)
    if opset >= OPSET:
        return False
    scope = Scope(model, opset)
    for graph, _ in reversed(tuple(graphs(model.graph))):  # bodies first: they are copied with their node
        nodes = [made for node in graph.node for made in _raised(node, scope)]
        copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)
    scope.finish()
    for entry in model.opset_import:
        if entry.domain in _OWN:
            entry.version = OPSET
    model.ir_version = max(model.ir_version, _IR)
    return True


def _raised(node: onnx.NodeProto, scope: Scope) -> Sequence[onnx.NodeProto]:
    if node.domain not in _OWN:
        return [node]
    rule = RULES.get(node.op_type)
    try:
        made = [node] if rule is None else rule(node, scope)
    except (ValueError, IndexError, KeyError, OverflowError):  # attributes or inputs that it must have
        made = None
    if made is None or not all(_is_known(one) for one in made):
        raise ModelError(
            f"node '{node.name or next(filter(None, node.output), '')}' ({node.op_type}) of opset "
            f"{scope.opset} cannot be written in opset {OPSET}: export the model with opset_version=18"
        )
    return made


def _is_known(node: onnx.NodeProto) -> bool:
    """Whether opset 13 has the operator, with its attributes and as many inputs."""
    import onnx

    try:
        schema = onnx.defs.get_schema(node.op_type, OPSET, "")
    except onnx.defs.SchemaError:
        return False
    named = {attribute.name for attribute in node.attribute}
    return not schema.deprecated and named <= set(schema.attributes) and len(node.input) <= schema.max_input
