"""Exact rewrites of TFLite graphs for LiteRT's GPU accelerator 2.1.2, which gets these wrong or refuses them.

Each works in place on the schema's ``ModelT`` and gives the number of its changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.backends.litert.layout import transpose

_LOWEST = -float(np.finfo(np.float16).max)
"""-65504: below every score that float16 holds."""
_LANES = 4
"""Channels that the accelerator keeps together in memory."""


def for_accelerator(model: Any) -> int:
    """All of them."""
    return fill_lanes(model) + pad_channels_by_zero(model) + turn_first(model)


def fill_lanes(model: Any) -> int:
    """Turn scores of 11 classes -> ARG_MAX  into  scores -> PADV2 to 12 by a lowest number -> ARG_MAX.

    The accelerator fills the last four channels with 0 and takes these for scores: where all are negative, it
    answers with a class that there is not.
    """
    graph = model.subgraphs[0]
    changes = 0
    for op in [o for o in graph.operators if flatbuffer.kind(model, o) == "ARG_MAX"]:
        scores = graph.tensors[op.inputs[0]]
        shape, axis = [int(d) for d in scores.shape], flatbuffer.constant(model, int(op.inputs[1]))
        missing = -shape[-1] % _LANES
        last = axis is not None and int(axis.ravel()[0]) in (-1, len(shape) - 1)
        if not missing or not last or flatbuffer.dtype(scores) != "FLOAT32":
            continue
        name = flatbuffer.title(scores)
        filled = flatbuffer.add_tensor(model, f"{name}_filled", [*shape[:-1], shape[-1] + missing])
        widths = np.array([[0, 0]] * (len(shape) - 1) + [[0, missing]], np.int32)
        constants = [
            flatbuffer.add_constant(model, f"{name}_fill_widths", widths),
            flatbuffer.add_constant(model, f"{name}_fill", np.array([_LOWEST], np.float32)),
        ]
        pad = flatbuffer.operator(model, "PADV2", [int(op.inputs[0]), *constants], [filled])
        graph.operators.insert(_place(graph, op), pad)
        op.inputs = [filled, *op.inputs[1:]]
        changes += 1
    return changes


def pad_channels_by_zero(model: Any) -> int:
    """Turn x -> PADV2 by v  into  x -> PAD -> ADD of v at the border.

    Behind 5 channels the accelerator pads by 0, whatever v is, as far as the next multiple of four; elsewhere
    it does as it is told.
    """
    graph = model.subgraphs[0]
    changes = 0
    for op in [o for o in graph.operators if flatbuffer.kind(model, o) == "PADV2"]:
        widths, value = (flatbuffer.constant(model, int(i)) for i in op.inputs[1:3])
        if widths is None or value is None or value.size != 1 or not widths[-1].any():
            continue
        result, name = int(op.outputs[0]), flatbuffer.title(graph.tensors[op.outputs[0]])
        padded = flatbuffer.add_tensor(
            model, f"{name}_by_zero", [int(d) for d in graph.tensors[result].shape]
        )
        pad = flatbuffer.operator(model, "PAD", [int(i) for i in op.inputs[:2]], [padded])
        border = _border(graph.tensors[op.inputs[0]].shape, widths, float(value.ravel()[0]))
        mask = flatbuffer.add_constant(model, f"{name}_border", border)
        add = flatbuffer.operator(model, "ADD", [padded, mask], [result])
        place = _place(graph, op)
        graph.operators[place : place + 1] = [pad, add]
        changes += 1
    return changes


def _border(shape: Any, widths: NDArray[Any], value: float) -> NDArray[np.float32]:
    """Zeros with a border of ``value``; along axes that are not padded it has one place."""
    sides = [int(side) if wide.any() else 1 for side, wide in zip(shape, widths, strict=True)]
    inner = np.zeros(sides, np.float32)
    return np.pad(inner, widths.tolist(), constant_values=np.float32(max(value, _LOWEST)))


def turn_first(model: Any) -> int:
    """Turn x -> BATCH_MATMUL that turns x (adjX) by a constant  into  x -> TRANSPOSE -> BATCH_MATMUL.

    The accelerator forgets to turn it.
    """
    graph = model.subgraphs[0]
    changes = 0
    for op in [o for o in graph.operators if flatbuffer.kind(model, o) == "BATCH_MATMUL"]:
        if not op.builtinOptions.adjX or flatbuffer.constant(model, int(op.inputs[1])) is None:
            continue
        source = graph.tensors[op.inputs[0]]
        sides = [int(side) for side in source.shape]
        order = [*range(len(sides) - 2), len(sides) - 1, len(sides) - 2]
        turned = flatbuffer.add_tensor(
            model, f"{flatbuffer.title(source)}_{op.outputs[0]}_turned", [sides[axis] for axis in order]
        )
        graph.operators.insert(_place(graph, op), transpose(model, int(op.inputs[0]), turned, order))
        op.inputs, op.builtinOptions.adjX = [turned, int(op.inputs[1])], False
        changes += 1
    return changes


def _place(graph: Any, op: Any) -> int:
    return next(index for index, other in enumerate(graph.operators) if other is op)
