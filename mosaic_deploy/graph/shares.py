"""Tensors that are shares, numbers between 0 and 1, by the operators that make them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_SHARES = ("HardSigmoid", "Sigmoid")
_MOVES = (
    "Cast", "DequantizeLinear", "Identity", "QuantizeLinear", "Reshape", "Resize", "Squeeze", "Transpose",
    "Unsqueeze",
)  # fmt: skip
"""What leaves the range of numbers as it is; a cubic Resize nearly does."""


def shares(model: onnx.ModelProto) -> frozenset[str]:
    """Names of the tensors that come out of a sigmoid, moved or resized behind it or not.

    They lie in [0, 1] whatever the network is shown: where a mask is empty its largest number may be 1e-8,
    and differences are still to be held against 1. The nodes are in order.
    """
    found: set[str] = set()
    for node in model.graph.node:
        if node.op_type in _SHARES or (node.op_type in _MOVES and node.input[0] in found):
            found.update(node.output)
    return frozenset(found)


def gives_shares(model: onnx.ModelProto) -> bool:
    """Whether all that a network gives are shares."""
    return bool(model.graph.output) and shares(model).issuperset(o.name for o in model.graph.output)
