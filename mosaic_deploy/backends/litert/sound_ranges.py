"""Ranges of a float TFLite file that grids can be made of: of tensors that are always 0, or nearly so."""

from __future__ import annotations

from typing import Any

import numpy as np

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.quantize.histogram import Ranges

_TINIEST = 1e-9
"""Below this, ai-edge-quantizer makes ranges of its own: steps of 4e-12, beside which nothing fits."""
_WEIGHTED = {
    "CONV_2D": (0, 1),
    "DEPTHWISE_CONV_2D": (0, 1),
    "FULLY_CONNECTED": (0, 1),
    "TRANSPOSE_CONV": (2, 1),
}
"""Operator -> which of its inputs are the image and the weights."""
_LEVELS = 255
_WEIGHT_STEPS = 127
_MOST_FACTOR = 128
"""Of the steps of a product to those of the output; XNNPACK loads no file with 256."""


def sound_ranges(model: Any, ranges: Ranges) -> Ranges:
    """Give what is always 0 the range 0 to 1, constants too, and widen outputs that are finer than products.

    What is widened has steps of less than a hundredth of the least difference that its operator can make.

    Returns:
        The ranges of ``ranges``, and those of constants that need one.
    """
    found = {
        name: span if _is_wide(*span) else (np.float32(0), np.float32(1)) for name, span in ranges.items()
    }
    graph = model.subgraphs[0]
    for op in graph.operators:
        kind = flatbuffer.kind(model, op)
        if kind in _WEIGHTED:
            _widen(model, op, _WEIGHTED[kind], found)
            continue
        for index in [int(i) for i in op.inputs if i >= 0]:
            value = flatbuffer.constant(model, index)
            if value is None or value.dtype != np.float32 or not value.size:
                continue
            if not _is_wide(value.min(), value.max()):
                found[flatbuffer.title(graph.tensors[index])] = (np.float32(0), np.float32(1))
    return found


def _is_wide(low: Any, high: Any) -> bool:
    return bool(max(high, 0) - min(low, 0) > _TINIEST)


def _widen(model: Any, op: Any, places: tuple[int, int], found: Ranges) -> None:
    """Let the output of a convolution have steps that are not much finer than those of its products."""
    graph = model.subgraphs[0]
    image = flatbuffer.title(graph.tensors[op.inputs[places[0]]])
    result = flatbuffer.title(graph.tensors[op.outputs[0]])
    weights = flatbuffer.constant(model, int(op.inputs[places[1]]))
    if weights is None or image not in found or result not in found:
        return
    product = _span(found[image]) / _LEVELS * float(np.abs(weights).max(initial=0.0)) / _WEIGHT_STEPS
    least = _LEVELS * product / _MOST_FACTOR
    span = _span(found[result])
    if span < least:
        low, high = found[result]
        found[result] = (np.float32(low * least / span), np.float32(high * least / span))


def _span(range_: tuple[np.float32, np.float32]) -> float:
    """Length of a range that holds 0."""
    return max(float(range_[1]), 0.0) - min(float(range_[0]), 0.0)
