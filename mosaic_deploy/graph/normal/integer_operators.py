"""Operators on whole integer tensors (QOperator), spelled as a float operator between DQ and Q.

    QLinearConv (x, ...) -> y    becomes    DequantizeLinear (x) -> Conv -> QuantizeLinear -> y

Sources: ONNX's operator reference, and ONNX Runtime's contributed operators (domain com.microsoft).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]
Find = Callable[[str], Array | None]
"""A constant by its name."""


@dataclass(frozen=True, slots=True)
class _Form:
    """Where an operator has its tensors and their grids."""

    op: str
    """The float operator."""
    data: tuple[int, ...]
    """Places of the quantised inputs; each is followed by its scale and zero point."""
    result: int
    """Place of the output's scale, which its zero point follows."""
    bias: int | None = None
    """Place of an int32 bias, which lies on the grid of the product of the first two inputs."""
    dropped: tuple[str, ...] = ()
    """Attributes that the float operator has not."""


_FORMS: Mapping[str, _Form] = MappingProxyType(
    {
        "QLinearConv": _Form("Conv", (0, 3), 6, bias=8),
        "QLinearMatMul": _Form("MatMul", (0, 3), 6),
        "QGemm": _Form("Gemm", (0, 3), 7, bias=6),
        "QLinearAdd": _Form("Add", (0, 3), 6),
        "QLinearMul": _Form("Mul", (0, 3), 6),
        "QLinearSigmoid": _Form("Sigmoid", (0,), 3),
        "QLinearLeakyRelu": _Form("LeakyRelu", (0,), 3),
        "QLinearSoftmax": _Form("Softmax", (0,), 3, dropped=("opset",)),
        "QLinearAveragePool": _Form("AveragePool", (0,), 3, dropped=("channels_last",)),
        "QLinearGlobalAveragePool": _Form("GlobalAveragePool", (0,), 3, dropped=("channels_last",)),
    }
)
_CONCAT = "QLinearConcat"
INTEGER_OPERATORS = frozenset({*_FORMS, _CONCAT})
"""What ``spell`` knows."""


@dataclass(frozen=True, slots=True)
class Spelled:
    """What takes a node's place."""

    nodes: tuple[onnx.NodeProto, ...]
    constants: Mapping[str, Array] = field(default_factory=dict)


def spell(node: onnx.NodeProto, find: Find) -> Spelled | None:
    """Spell one node; None where it is no such operator, or one that cannot be spelled."""
    if node.op_type == _CONCAT:
        return _spell(node, _Form("Concat", tuple(range(2, len(node.input), 3)), 0), find)
    form = _FORMS.get(node.op_type)
    return None if form is None else _spell(node, form, find)


def _spell(node: onnx.NodeProto, form: _Form, find: Find) -> Spelled | None:
    import onnx

    stated = {attribute.name: attribute for attribute in node.attribute}
    if "channels_last" in form.dropped and "channels_last" in stated and stated["channels_last"].i:
        return None
    tag = node.output[0]
    made = list(_opened(node, form, tag))
    taken = [step.output[0] for step in made]
    constants: dict[str, Array] = {}
    if form.bias is not None and len(node.input) > form.bias and node.input[form.bias]:
        bias = _bias(node, form, find)
        if bias is None:
            return None
        constants[f"{tag}/bias"] = bias
        taken.append(f"{tag}/bias")
    plain = onnx.helper.make_node(form.op, taken, [f"{tag}/float"], name=node.name)
    plain.attribute.extend(a for name, a in stated.items() if name not in form.dropped)
    scale, zero = node.input[form.result], _at(node.input, form.result + 1)
    ends = [f"{tag}/float", scale, *([zero] if zero else [])]
    made += [plain, onnx.helper.make_node("QuantizeLinear", ends, [tag], name=f"{node.name}/quantize")]
    return Spelled(tuple(made), constants)


def _opened(node: onnx.NodeProto, form: _Form, tag: str) -> Iterator[onnx.NodeProto]:
    """A DequantizeLinear for every quantised input; per-channel weights of a Conv lie along axis 0."""
    import onnx

    for number, place in enumerate(form.data):
        parts = [name for name in (node.input[place + i] for i in range(3)) if name]
        along = 0 if node.op_type == "QLinearConv" and number == 1 else 1
        yield onnx.helper.make_node(
            "DequantizeLinear",
            parts,
            [f"{tag}/input_{number}"],
            name=f"{node.name}/input_{number}",
            axis=along,
        )


def _bias(node: onnx.NodeProto, form: _Form, find: Find) -> Array | None:
    assert form.bias is not None
    held, first, second = (find(node.input[place]) for place in (form.bias, 1, 4))
    if held is None or first is None or second is None:
        return None
    made: Array = (held.astype(np.float64) * first * second).astype(np.float32)
    return made.reshape(held.shape)


def _at(names: Sequence[str], place: int) -> str:
    return names[place] if len(names) > place else ""
