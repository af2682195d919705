"""What decides how a compiler treats a part of a model, as one short text: parts that share it are alike.

Operators, attributes, shapes, types and grids count; names do not. Of constants the shape counts, and the
values too where they are parameters: integers, bools, single numbers, and what normalises, bends or clips.
Those of weights do not.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from mosaic_deploy.graph.facts import Node, Tensor, nodes

if TYPE_CHECKING:
    import onnx

_BY_VALUE = ("BatchNormalization", "PRelu", "Clip")
"""Operators whose constants decide, also as floats with many elements."""


def structure(part: onnx.ModelProto) -> str:
    """Digest of a part, in hex.

    Args:
        part: a model as ``subgraph.cut`` makes it: its shapes are known.
    """
    numbers: dict[str, int] = {}
    described = [_node(node, numbers) for node in nodes(part)]
    ends = [numbers.get(value.name, -1) for value in part.graph.output]
    text = json.dumps([described, ends], separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def operators(part: onnx.ModelProto) -> tuple[str, ...]:
    """A part's operators in order, but for constants."""
    return tuple(node.op_type for node in part.graph.node if node.op_type != "Constant")


def _node(node: Node, numbers: dict[str, int]) -> list[object]:
    inputs = [_tensor(t, node.op, numbers) if t is not None else None for t in node.inputs]
    outputs = [_tensor(t, node.op, numbers) for t in node.outputs]
    return [node.domain, node.op, node.version, sorted(node.attributes.items()), inputs, outputs]


def _tensor(tensor: Tensor, op: str, numbers: dict[str, int]) -> list[object]:
    number = numbers.setdefault(tensor.name, len(numbers))
    grid = tensor.grid.dtype if tensor.grid is not None else ""
    return [number, tensor.dtype, tensor.shape, tensor.constant, grid, _value(tensor, op)]


def _value(tensor: Tensor, op: str) -> str:
    value = tensor.value
    if value is None or not (value.size <= 1 or value.dtype.kind in "iub" or op in _BY_VALUE):
        return ""
    return hashlib.sha256(value.tobytes()).hexdigest()
