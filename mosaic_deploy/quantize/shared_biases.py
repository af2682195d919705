"""Constants that are the bias of several nodes, given to each of these as its own."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mosaic_deploy.graph.index import free_name

if TYPE_CHECKING:
    import onnx

_BIASED = (
    "BatchNormalization", "Conv", "ConvTranspose", "Gemm", "InstanceNormalization", "LayerNormalization",
)  # fmt: skip
_BIAS = 2
"""Which of their inputs it is."""


def separate_biases(model: onnx.ModelProto) -> None:
    """Turn  a -> Conv(bias), b -> Conv(bias)  into  a -> Conv(bias), b -> Conv(bias of its own).

    A bias is quantised with the scale of its node's input and weights, so several nodes need several.
    ONNX Runtime's quantiser copies them itself, under names that other tensors of the graph may have.
    """
    import onnx

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    uses: Counter[str] = Counter()
    for node in model.graph.node:
        name = node.input[_BIAS] if node.op_type in _BIASED and len(node.input) > _BIAS else ""
        if name not in constants:
            continue
        uses[name] += 1
        if uses[name] > 1:
            own = onnx.TensorProto()
            own.CopyFrom(constants[name])
            own.name = free_name(model.graph, f"{name}/{uses[name]}")
            model.graph.initializer.append(own)
            node.input[_BIAS] = own.name
