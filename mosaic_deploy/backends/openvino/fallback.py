"""What an int8 network still computes in floats on this processor: operators, multiply-accumulates, time.

Nothing is refused for it: the plugin's float kernels run where its integer ones do. How much passes is the
target's to say.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mosaic_deploy.backends.openvino.precision import FLOATS, Node
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import openvino

Shape = Sequence[int]

_MOVES = ("Reorder", "Reshape")
"""Kinds of node without arithmetic; they count as time alone."""


def fallback_of(model: openvino.Model, nodes: Sequence[Node], seconds: Mapping[str, float]) -> JsonObject:
    """State what is computed in floats.

    Args:
        model: the network as it was compiled.
        nodes: those of the compiled network.
        seconds: what each of them took in one run, by name.

    Returns:
        ``operators``, how many there are of each kind; ``macs_share`` of all multiply-accumulates of
        convolutions and matrix products; ``time_share`` of the time of all nodes. Both in [0, 1].
    """
    floats = [node for node in nodes if node.precision in FLOATS]
    kinds = Counter(node.kind for node in floats if node.kind not in _MOVES)
    integers = [node for node in nodes if node.precision not in FLOATS]
    total = left = 0
    for name, count in _macs(model):
        total += count
        left += count * (not any(node.computes(name) for node in integers))
    spent = math.fsum(seconds.get(node.name, 0.0) for node in floats)
    whole = math.fsum(seconds.get(node.name, 0.0) for node in nodes)
    return {
        "operators": dict(sorted(kinds.items())),
        "macs_share": round(left / total, 4) if total else 0.0,
        "time_share": round(spent / whole, 4) if whole else 0.0,
    }


def _macs(model: openvino.Model) -> list[tuple[str, int]]:
    """Name and multiply-accumulates of each convolution and matrix product."""
    found = []
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind not in _COUNTS or not all(v.get_partial_shape().is_static for v in node.input_values()):
            continue
        left, right, out = (tuple(value.get_shape()) for value in (*node.input_values()[:2], node.output(0)))
        found.append((node.get_friendly_name(), _COUNTS[kind](left, right, out)))
    return found


def _product(left: Shape, _right: Shape, out: Shape) -> int:
    """Of matrices (..., m, k), transposed or not, the inner side follows from the outer ones."""
    if len(left) < 2 or len(out) < 2:
        return math.prod(left)
    return math.prod(out) * left[-1] * left[-2] // out[-2]


_COUNTS = {
    "Convolution": lambda _, weights, out: math.prod(out) * math.prod(weights[1:]),
    "GroupConvolution": lambda _, weights, out: math.prod(out) * math.prod(weights[2:]),
    "ConvolutionBackpropData": lambda image, weights, _: math.prod(image) * math.prod(weights[1:]),
    "GroupConvolutionBackpropData": lambda image, weights, _: math.prod(image) * math.prod(weights[2:]),
    "MatMul": _product,
}
"""OpenVINO's operators -> multiply-accumulates of shapes of data, weights and output."""
