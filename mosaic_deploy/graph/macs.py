"""Multiply-accumulates of convolutions and matrix products: what a node costs, as near as shapes tell."""

from __future__ import annotations

import math

from mosaic_deploy.graph.facts import Node, Tensor


def macs(node: Node) -> int:
    """Count the multiply-accumulates of a node; 0 for other operators and where shapes are unknown."""
    count = _COUNTS.get(node.op)
    if count is None or node.domain or node.folded or len(node.inputs) < 2 or not node.outputs:
        return 0
    left, right, out = node.inputs[0], node.inputs[1], node.outputs[0]
    if left is None or right is None or not left.shape or not right.shape or not out.shape:
        return 0
    return count(left, right, out)


def _conv(_: Tensor, weight: Tensor, out: Tensor) -> int:
    return math.prod(out.shape or ()) * math.prod((weight.shape or ())[1:])


def _conv_transpose(image: Tensor, weight: Tensor, _: Tensor) -> int:
    return math.prod(image.shape or ()) * math.prod((weight.shape or ())[1:])


def _product(left: Tensor, right: Tensor, out: Tensor) -> int:
    """Every output element sums over what the two inputs share."""
    inner = math.prod(left.shape or ()) * math.prod((right.shape or ())[-2:])
    rows_columns = math.prod((out.shape or ())[-2:])
    batch = math.prod((left.shape or ())[:-2])
    if rows_columns == 0 or batch == 0 or left.rank < 2 or right.rank < 2:
        return 0
    shared = math.isqrt(inner // batch // rows_columns)
    return math.prod(out.shape or ()) * shared


_COUNTS = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _product,
    "MatMul": _product,
}
