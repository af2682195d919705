"""The steps of integer weights: those of a grid that they came on, and wide enough for their biases.

Weights that were dequantised once keep their integers where these fit (``quantize/weight_grids.py``).

A bias is held in steps of its input's times its weights'. Where all weights of a channel are tiny, its steps
are, and int32 ends before the bias does: ai-edge-quantizer 0.5.1 then stores the last number, of either sign,
without a word. Such a channel's weights get larger steps here; that loses less than a step of the output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.quantize.weight_grids import own_steps

_PLACES = {
    "CONV_2D": (0, 1, 2),
    "DEPTHWISE_CONV_2D": (0, 1, 2),
    "FULLY_CONNECTED": (0, 1, 2),
    "TRANSPOSE_CONV": (2, 1, 3),
}
"""Operator -> which of its inputs are the image, the weights and the bias."""
_BIAS_STEPS = 2.0**30
"""The most steps that a bias should have: as many again are left to the sum of the products."""
_LEAST_FACTOR = 2.0**-28
"""Of the steps of a product to those of the output. Kernels shift by 31 places at most."""
_WEIGHT_STEPS = 127


@dataclass(frozen=True, slots=True)
class _Use:
    """One operator with integer weights."""

    op: Any
    """In the quantised file."""
    image: float
    """The step of its image."""
    result: float
    """The step of its output."""
    weights: NDArray[np.float32]
    """As they were before."""
    bias: NDArray[np.float32] | None
    """As it was before: (channels,)."""


def fit_weights(made: Any, plain: Any) -> dict[str, int]:
    """Give the weights of a quantised file the steps of their own grids, and those that their biases need.

    ``plain`` is the float file that ``made`` was quantised from; the operators' outputs share their names.

    Returns:
        Of how many ``kernels`` how many are ``kept`` on a grid they came on, and the channels ``widened`` for
        a bias that is beyond int32.
    """
    before = {flatbuffer.title(_tensor(plain, op.outputs[0])): op for op in plain.subgraphs[0].operators}
    uses: dict[int, list[_Use]] = {}
    for op in made.subgraphs[0].operators:
        known = before.get(flatbuffer.title(_tensor(made, op.outputs[0])))
        use = None if known is None else _use(made, op, plain, known)
        if use is not None:
            uses.setdefault(int(op.inputs[_PLACES[flatbuffer.kind(made, op)][1]]), []).append(use)
    changes = [_choose(made, index, alike) for index, alike in uses.items()]
    kept, widened = (sum(change[place] for change in changes) for place in (0, 1))
    return {"kernels": len(changes), "kept": kept, "widened": widened}


def _use(made: Any, op: Any, plain: Any, known: Any) -> _Use | None:
    """What is known of an operator; None where it has no integer weights, or these had no floats."""
    kind = flatbuffer.kind(made, op)
    if kind not in _PLACES or flatbuffer.kind(plain, known) != kind:
        return None
    image, weights, bias = _PLACES[kind]
    steps = [_step(made, int(index)) for index in (op.inputs[image], op.outputs[0])]
    stored = flatbuffer.constant(made, int(op.inputs[weights]))
    floats = flatbuffer.constant(plain, int(known.inputs[weights]))
    if None in steps or stored is None or stored.dtype != np.int8:
        return None
    if floats is None or floats.dtype != np.float32 or floats.shape != stored.shape:
        return None
    added = _bias(plain, known, bias)
    if (added is None) != (_bias(made, op, bias) is None):
        return None
    return _Use(op, float(steps[0] or 0), float(steps[1] or 0), floats, added)


def _choose(made: Any, index: int, uses: list[_Use]) -> tuple[bool, int]:
    """Give weights their steps; whether they keep a grid, and the number of channels that a bias widens."""
    tensor = _tensor(made, index)
    steps = np.asarray(tensor.quantization.scale, np.float64)
    own, kept = steps, False
    if len(steps) > 1:
        own, kept = own_steps(uses[0].weights, int(tensor.quantization.quantizedDimension), steps)
    needed = own.copy()
    for use in uses:
        least = np.full(steps.shape, use.result * _LEAST_FACTOR / use.image)
        if use.bias is not None:
            biases = np.abs(use.bias.astype(np.float64)) / (use.image * _BIAS_STEPS)
            least = np.maximum(least, biases if len(steps) > 1 else biases.max(initial=0.0))
        needed = np.maximum(needed, least)
    widened = int((needed > own).sum())
    if (needed != steps).any():
        _store_weights(made, index, uses[0].weights, needed)
        for use in uses:
            if use.bias is not None:
                place = _PLACES[flatbuffer.kind(made, use.op)][2]
                _store_bias(made, use, place, np.asarray(tensor.quantization.scale, np.float64))
    return kept and not widened, widened


def _store_weights(made: Any, index: int, floats: NDArray[np.float32], steps: NDArray[np.float64]) -> None:
    tensor = _tensor(made, index)
    tensor.quantization.scale = steps.astype(np.float32)
    wide = tensor.quantization.scale.astype(np.float64)
    if len(steps) > 1:
        sides = [1] * floats.ndim
        sides[int(tensor.quantization.quantizedDimension)] = -1
        wide = wide.reshape(sides)
    integers = np.clip(np.rint(floats / wide), -_WEIGHT_STEPS, _WEIGHT_STEPS).astype(np.int8)
    tensor.buffer = flatbuffer.add_buffer(made, integers)


def _store_bias(made: Any, use: _Use, place: int, weights: NDArray[np.float64]) -> None:
    """Give an operator a bias of its own: others that read the same may have other steps."""
    from copy import copy

    graph = made.subgraphs[0]
    old = _tensor(made, use.op.inputs[place])
    own, own.quantization = copy(old), copy(old.quantization)
    steps = (use.image * weights).astype(np.float32)
    own.quantization.scale = steps
    own.quantization.zeroPoint = np.zeros(len(steps), np.int64)
    assert use.bias is not None
    integers = np.rint(use.bias / steps.astype(np.float64))
    limits = np.iinfo(np.int32)
    own.buffer = flatbuffer.add_buffer(made, np.clip(integers, limits.min, limits.max).astype(np.int32))
    own.name = f"{flatbuffer.title(old)}_of_{flatbuffer.title(_tensor(made, use.op.outputs[0]))}".encode()
    graph.tensors.append(own)
    use.op.inputs = [*use.op.inputs[:place], len(graph.tensors) - 1, *use.op.inputs[place + 1 :]]


def _bias(model: Any, op: Any, place: int) -> NDArray[Any] | None:
    if len(op.inputs) <= place or op.inputs[place] < 0:
        return None
    value = flatbuffer.constant(model, int(op.inputs[place]))
    return None if value is None else value.reshape(-1)


def _step(model: Any, index: int) -> float | None:
    """The one step of an int8 tensor."""
    tensor = _tensor(model, index)
    described = flatbuffer.describe(model, index)
    return described["scale"] if flatbuffer.dtype(tensor) == "INT8" else None


def _tensor(model: Any, index: int) -> Any:
    return model.subgraphs[0].tensors[index]
