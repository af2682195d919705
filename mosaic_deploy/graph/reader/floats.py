"""Floating types made float32: float16 and bfloat16, which it holds exactly, and float64, which is rounded.

Compilers choose a precision themselves and start from float32; half of them read nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_deploy.graph.reader.names import graphs

if TYPE_CHECKING:
    import onnx

_FLOAT = 1
_OTHERS = frozenset({10, 11, 16})
"""float16, float64 and bfloat16 among ``TensorProto.DataType``."""

FLOATS = frozenset({_FLOAT}) | _OTHERS
"""Types that ``to_float32`` leaves as one."""

_TYPES = frozenset({"to", "dtype", "output_dtype", "stash_type", "softmax_precision"})
"""Attributes that name a type."""


def to_float32(model: onnx.ModelProto) -> frozenset[str]:
    """Make every tensor of another floating type float32, in place; says which types those were.

    Numbers beyond float32's range become its largest; infinities stay. External data must be in the model.

    Returns:
        Names out of ``float16``, ``float64`` and ``bfloat16``; nothing where there is nothing to do.
    """
    seen: set[int] = set()
    for graph, _ in graphs(model.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            _retype(value.type, seen)
        for tensor in graph.initializer:
            _convert(tensor, seen)
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.name in _TYPES and attribute.i in _OTHERS and _names_a_type(node):
                    seen.add(int(attribute.i))
                    attribute.i = _FLOAT
                if attribute.HasField("t"):
                    _convert(attribute.t, seen)
                for tensor in attribute.tensors:
                    _convert(tensor, seen)
    names = {10: "float16", 11: "float64", 16: "bfloat16"}
    return frozenset(names[kind] for kind in seen)


def _names_a_type(node: onnx.NodeProto) -> bool:
    return node.domain in ("", "ai.onnx", "com.microsoft")


def _retype(kind: onnx.TypeProto, seen: set[int]) -> None:
    while True:
        if kind.HasField("sequence_type"):
            kind = kind.sequence_type.elem_type
        elif kind.HasField("optional_type"):
            kind = kind.optional_type.elem_type
        else:
            break
    if kind.HasField("tensor_type") and kind.tensor_type.elem_type in _OTHERS:
        seen.add(kind.tensor_type.elem_type)
        kind.tensor_type.elem_type = _FLOAT


def _convert(tensor: onnx.TensorProto, seen: set[int]) -> None:
    if tensor.data_type not in _OTHERS:
        return
    import onnx

    seen.add(tensor.data_type)
    held = np.asarray(onnx.numpy_helper.to_array(tensor))
    with np.errstate(over="ignore"):
        made = held.astype(np.float32)
    if tensor.data_type == 11:
        largest = np.finfo(np.float32).max
        made = np.where(np.isinf(made) & np.isfinite(held), np.copysign(largest, made), made)
    for store in ("int32_data", "double_data", "raw_data"):
        tensor.ClearField(store)
    tensor.data_type = _FLOAT
    tensor.raw_data = made.astype("<f4").tobytes()
