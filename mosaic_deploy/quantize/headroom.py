"""Room above what calibration saw, in grids of 16 bits: they have levels to spare, and images differ.

A value beyond its grid is clipped. In 8 bits room costs accuracy, in 16 bits next to nothing. More of it
gains little, and costs steps that the Hexagon's sums can do with: see ``docs/explanation/quantisation.md``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from mosaic_deploy.quantize.mixed import MOVES

if TYPE_CHECKING:
    import onnx

    from mosaic_deploy.quantize.histogram import Ranges

_ROOM = np.float32(1.5)
_ENDS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "HardSigmoid": (0.0, 1.0),
        "Relu": (0.0, np.inf),
        "Sigmoid": (0.0, 1.0),
        "Softmax": (0.0, 1.0),
        "Tanh": (-1.0, 1.0),
    }
)
"""What an operator gives at the least and at the most."""
_KEEP_WITHIN = MOVES | {"GlobalAveragePool"}
"""What they give lies within what they take."""


def with_headroom(model: onnx.ModelProto, ranges: Ranges, *, exact: Collection[str] = ()) -> Ranges:
    """Half as much again as each range, 0 held fast, as far as the tensor's operator can go at all.

    A grid that ends where a Clip does stands for the Clip: such ends stay.

    Args:
        model: the float graph, its nodes in order.
        ranges: lowest and highest value of its tensors.
        exact: names of tensors whose ranges stay as they are.
    """
    ends = _ends(model)
    return {name: span if name in exact else _wider(span, ends.get(name)) for name, span in ranges.items()}


def _wider(
    span: tuple[np.float32, np.float32], ends: tuple[float, float] | None
) -> tuple[np.float32, np.float32]:
    low, high = span
    lowest, highest = ends or (-np.inf, np.inf)
    wider_low = max(low * _ROOM, np.float32(lowest)) if low < 0 else low
    wider_high = min(high * _ROOM, np.float32(highest)) if high > 0 else high
    return min(low, wider_low), max(high, wider_high)


def _ends(model: onnx.ModelProto) -> dict[str, tuple[float, float]]:
    """Of the tensors whose makers have a lowest or a highest value."""
    found: dict[str, tuple[float, float]] = {}
    constants = _numbers(model)
    for node in model.graph.node:
        ends = _ENDS.get(node.op_type)
        if node.op_type == "Clip":
            ends = _clip(node, constants)
        elif node.op_type in _KEEP_WITHIN and node.input:
            ends = found.get(node.input[0])
        if ends is not None:
            found.update(dict.fromkeys(node.output, ends))
    return found


def _clip(node: onnx.NodeProto, constants: Mapping[str, float]) -> tuple[float, float]:
    """The ends of a Clip, which older opsets hold as attributes; without end where they are not constant."""
    held = {attribute.name: float(attribute.f) for attribute in node.attribute}
    names = (*node.input[1:], "", "")
    low, high = held.get("min", -np.inf), held.get("max", np.inf)
    return constants.get(names[0], low), constants.get(names[1], high)


def _numbers(model: onnx.ModelProto) -> dict[str, float]:
    from onnx import numpy_helper

    small = [tensor for tensor in model.graph.initializer if not tensor.dims or list(tensor.dims) == [1]]
    return {tensor.name: float(numpy_helper.to_array(tensor).ravel()[0]) for tensor in small}
