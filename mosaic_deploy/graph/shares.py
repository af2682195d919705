"""Whether a network gives shares, numbers between 0 and 1, by its last operators."""

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


def gives_shares(model: onnx.ModelProto) -> bool:
    """Whether every output comes out of a sigmoid.

    Such a network's answers lie in [0, 1] whatever it is shown: where a mask is empty its largest number may
    be 1e-8, and differences are still to be held against 1.
    """
    makers = {name: node for node in model.graph.node for name in node.output}

    def comes_of_sigmoid(name: str) -> bool:
        node = makers.get(name)
        while node is not None and node.op_type in _MOVES:
            node = makers.get(node.input[0])
        return node is not None and node.op_type in _SHARES

    outputs = [output.name for output in model.graph.output]
    return bool(outputs) and all(comes_of_sigmoid(name) for name in outputs)
