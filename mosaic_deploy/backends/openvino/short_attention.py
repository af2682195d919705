"""Attention across few keys, of which OpenVINO's CPU plugin makes something else in integers.

    queries @ keys -> Softmax -> (heads, 16, 16) @ values (heads, 16, 256) -> FakeQuantize

The plugin compiles all of it as one kernel. With its second product in int8, of few keys and many numbers
each, that kernel is off by the whole range or ends the process: in 2026.4.1, of 4, 8, 16 and 32 keys with 128
to 2,048 numbers. With up to 64 numbers, and of 48 keys or more, it is right. Attention across channels is so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import openvino

_KEYS = 48
_NUMBERS = 64


def products(model: openvino.Model) -> list[str]:
    """Names of the attentions, and of the products behind a Softmax, that must stay in float."""
    return [
        node.get_friendly_name()
        for node in model.get_ordered_ops()
        if (sides := _sides(node)) is not None and sides[0] < _KEYS and sides[1] > _NUMBERS
    ]


def _sides(node: openvino.Node) -> tuple[int, int] | None:
    """How many keys there are and how many numbers each stands for; None for what is no attention."""
    kind = node.get_type_name()
    if kind == "ScaledDotProductAttention":
        return node.get_input_shape(1)[-2], node.get_input_shape(2)[-1]
    if kind == "MatMul" and node.input_value(0).get_node().get_type_name() == "Softmax":
        return node.get_input_shape(0)[-1], node.get_output_shape(0)[-1]
    return None
