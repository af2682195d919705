"""Nodes of ONNX text, and what a constraint says of them."""

from __future__ import annotations

import onnx
import onnx.parser

from mosaic_deploy.gate.op_support.constraints import CONSTRAINTS
from mosaic_deploy.graph.facts import Node, nodes


def node(text: str, *, op: str, opset: int = 18) -> Node:
    """The last node of one operator in a graph of ONNX text, with inferred shapes."""
    header = f'<ir_version: 8, opset_import: ["" : {opset}, "com.microsoft" : 1]>\n'
    model = onnx.shape_inference.infer_shapes(onnx.parser.parse_model(header + text), data_prop=True)
    return [found for found in nodes(model) if found.op == op][-1]


def holds(name: str, found: Node) -> bool:
    return CONSTRAINTS[name].breach(found) is None


def breach(name: str, found: Node) -> str:
    """What breaks the constraint for certain."""
    broken = CONSTRAINTS[name].breach(found)
    assert broken is not None
    assert broken.certain
    return broken.found


def doubt(name: str, found: Node) -> str:
    """Why the graph does not tell whether the constraint holds."""
    broken = CONSTRAINTS[name].breach(found)
    assert broken is not None
    assert not broken.certain
    return broken.found
