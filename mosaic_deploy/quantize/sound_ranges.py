"""Ranges that grids can be made of: of tensors that are always 0, and before biases that dwarf the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

    from mosaic_deploy.quantize.histogram import Ranges

SMALLEST_RANGE = 1e-12
"""Of a grid. ONNX Runtime's own 1e-4 leaves a handful of levels to a tensor of millionths, and of smaller
ones so few that the Hexagon compiler computes something else."""

_BIASED = ("Conv", "ConvTranspose", "Gemm")
_LEVELS = 255
_WEIGHT_STEPS = 127
_BIAS_STEPS = 2.0**26
"""The most steps that a bias should have. It is held in 32 bits, in steps of its input's times its weights';
of more than this Hexagon v68 makes other numbers."""


def sound_ranges(model: onnx.ModelProto, ranges: Ranges) -> Ranges:
    """Give a tensor that is always 0 the range 0 to 1, and widen those whose steps are too small for biases.

    What is widened is so small beside the bias of each of its readers that no level of it is missed.
    """
    import onnx

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    found = {name: span if any(span) else (span[0], np.float32(1)) for name, span in ranges.items()}
    for node in model.graph.node:
        held = [constants.get(name) for name in node.input[1:3]]
        if node.op_type not in _BIASED or node.input[0] not in found or len(held) < 2 or None in held:
            continue
        weight, bias = (
            float(np.abs(onnx.numpy_helper.to_array(tensor)).max(initial=0.0))
            for tensor in held
            if tensor is not None
        )
        low, high = found[node.input[0]]
        span = max(float(high), 0.0) - min(float(low), 0.0)
        least = _LEVELS * bias / _BIAS_STEPS / (weight / _WEIGHT_STEPS) if weight else 0.0
        if span < least:
            found[node.input[0]] = (low * np.float32(least / span), high * np.float32(least / span))
    return found
