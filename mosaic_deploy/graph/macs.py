"""Multiply-accumulates of convolutions and matrix products: what a node costs, as near as shapes tell.

Biases, normalisations, activations, pooling and resizing do not count, as in the literature's tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from mosaic_deploy.graph.facts import Node

Shape = tuple[int, ...]


def macs(node: Node) -> int:
    """Count the multiply-accumulates of a node; 0 for other operators and where shapes are unknown."""
    count = _COUNTS.get(node.op)
    if count is None or node.domain or node.folded or len(node.inputs) < 2 or not node.outputs:
        return 0
    left, right, out = (t.shape if t is not None else None for t in (*node.inputs[:2], node.outputs[0]))
    if not left or not right or out is None:
        return 0
    return count(node, left, right, out)


def _conv(_: Node, _image: Shape, weight: Shape, out: Shape) -> int:
    """Every output element sums over its group's channels and the window: (Cout, Cin/group, window...)."""
    return math.prod(out) * math.prod(weight[1:])


def _conv_transpose(_: Node, image: Shape, weight: Shape, _out: Shape) -> int:
    """Every input element is spread over a group's channels and the window: (Cin, Cout/group, window...)."""
    return math.prod(image) * math.prod(weight[1:])


def _gemm(node: Node, left: Shape, _: Shape, out: Shape) -> int:
    return math.prod(out) * left[0 if node.attributes.get("transA") else -1]


def _matmul(_: Node, left: Shape, _right: Shape, out: Shape) -> int:
    """Every output element, of whatever broadcast batch, sums over the left one's last dimension."""
    return math.prod(out) * left[-1]


def _einsum(node: Node, left: Shape, right: Shape, _: Shape) -> int:
    """Once for each combination of indices; 0 where "..." hides some, or of another number of tensors."""
    equation = str(node.attributes.get("equation", "")).replace(" ", "")
    terms = equation.partition("->")[0].split(",")
    if "." in equation or [len(term) for term in terms] != [len(left), len(right)]:
        return 0
    sides: dict[str, int] = {}
    for index, side in zip("".join(terms), (*left, *right), strict=True):
        sides[index] = max(side, sides.get(index, 1))
    return math.prod(sides.values())


_COUNTS: Mapping[str, Callable[[Node, Shape, Shape, Shape], int]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Einsum": _einsum,
    "Gemm": _gemm,
    "MatMul": _matmul,
}
