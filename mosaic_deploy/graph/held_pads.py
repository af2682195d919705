"""Pads that optimisers fuse into the pool behind them although that makes another network.

    x -> Pad by 0 -> MaxPool   is not   x -> MaxPool that pads,

which takes the padding for lower than any number. ONNX Runtime 1.26 (``Pad_Fusion``,
https://github.com/microsoft/onnxruntime/pull/18136) and onnxsim 0.6.5 (``fuse_pad_into_pool``,
https://github.com/onnxsim/onnxsim/issues/290) fuse them, and ONNX Runtime then has no kernel for an
AveragePool that pads as much as its window is wide. Neither fuses a Pad that is an output of the graph too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

_POOLS = ("AveragePool", "MaxPool")


def hold_pads(model: onnx.ModelProto) -> tuple[str, ...]:
    """Make every Pad that must not be fused an output too; gives their names, for ``release_pads``."""
    import onnx

    made = {name: node for node in model.graph.node for name in node.output}
    ends = {value.name for value in model.graph.output}
    held: list[str] = []
    for node in model.graph.node:
        pad = made.get(node.input[0]) if node.op_type in _POOLS else None
        if pad is None or pad.op_type != "Pad" or pad.output[0] in ends or pad.output[0] in held:
            continue
        source = made.get(pad.input[0])
        if node.op_type == "AveragePool" or source is None or source.op_type != "Relu":
            held.append(pad.output[0])
    for name in held:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return tuple(held)


def release_pads(model: onnx.ModelProto, held: Sequence[str]) -> None:
    """Take the outputs of ``hold_pads`` away again."""
    for value in [value for value in model.graph.output if value.name in held]:
        model.graph.output.remove(value)
