"""Exact rewrites of TFLite graphs for LiteRT's GPU accelerator 2.1.2, which gets these wrong or refuses them.

Each works in place on the schema's ``ModelT`` and gives the number of its changes.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.backends.litert.gpu.batches import add_in_four, merge_heads, part_factors
from mosaic_deploy.backends.litert.layout import transpose
from mosaic_deploy.backends.litert.repairs import is_rectified

_LOWEST = -float(np.finfo(np.float16).max)
"""-65504: below every score that float16 holds."""
_ROWS = 8192
"""Of a texture, at most."""
_LANES = 4
"""Channels that the accelerator keeps together in memory."""
_AXES = 4
"""Of a tensor that it slices, at most."""


def for_accelerator(model: Any) -> int:
    """All of them."""
    rewrites = (
        fill_lanes,
        pad_channels_by_zero,
        turn_first,
        merge_heads,
        part_factors,
        add_in_four,
        split_long_sums,
        slice_parts,
        part_pads,
    )
    return sum(rewrite(model) for rewrite in rewrites)


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
        graph.operators.insert(flatbuffer.place_of(graph, op), pad)
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
        place = flatbuffer.place_of(graph, op)
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
        graph.operators.insert(
            flatbuffer.place_of(graph, op), transpose(model, int(op.inputs[0]), turned, order)
        )
        op.inputs, op.builtinOptions.adjX = [turned, int(op.inputs[1])], False
        changes += 1
    return changes


def split_long_sums(model: Any) -> int:
    """Turn x -> CONV_2D of 18,432 taps  into  parts of x -> CONV_2D of 6,144 taps each -> ADD.

    The accelerator keeps a tap (a place of the window and an input channel) per row of a texture. WebGPU
    promises 8192 rows (maxTextureDimension2D, https://www.w3.org/TR/webgpu/#limits), and so do phones.
    """
    graph = model.subgraphs[0]
    changes = 0
    for op in [o for o in graph.operators if flatbuffer.kind(model, o) == "CONV_2D"]:
        weight = flatbuffer.constant(model, int(op.inputs[1]))
        source = graph.tensors[op.inputs[0]]
        if weight is None or weight.dtype != np.float32 or weight[0].size <= _ROWS:
            continue
        if int(source.shape[-1]) != weight.shape[3]:  # in groups
            continue
        window = weight.shape[1] * weight.shape[2]
        width = _ROWS // window // _LANES * _LANES
        if width:
            _split(model, op, weight, width)
            changes += 1
    return changes


def _split(model: Any, op: Any, weight: NDArray[np.float32], width: int) -> None:
    """Convolve ``width`` channels at a time, and add: the bias with the first, the activation at the end."""
    graph, result = model.subgraphs[0], int(op.outputs[0])
    name, shape = flatbuffer.title(graph.tensors[result]), [int(d) for d in graph.tensors[result].shape]
    sides = [int(d) for d in graph.tensors[op.inputs[0]].shape]
    activation, op.builtinOptions.fusedActivationFunction = op.builtinOptions.fusedActivationFunction, 0
    made, total = [], -1
    for first in range(0, weight.shape[3], width):
        kernel = np.ascontiguousarray(weight[..., first : first + width])
        part = flatbuffer.add_tensor(model, f"{name}_in_{first}", [*sides[:3], kernel.shape[3]])
        made.append(flatbuffer.slice_of(model, int(op.inputs[0]), [0, 0, 0, first], part))
        bias = int(op.inputs[2]) if not first else _zeros(model, f"{name}_none_{first}", weight.shape[0])
        summed = flatbuffer.add_tensor(model, f"{name}_of_{first}", shape)
        convolved = copy.copy(op)
        convolved.inputs = [
            part, flatbuffer.add_constant(model, f"{name}_kernel_{first}", kernel), bias,
        ]  # fmt: skip
        convolved.outputs = [summed]
        made.append(convolved)
        if not first:
            total = summed
            continue
        last = first + width >= weight.shape[3]
        both = result if last else flatbuffer.add_tensor(model, f"{name}_to_{first}", shape)
        add = flatbuffer.operator(model, "ADD", [total, summed], [both])
        add.builtinOptions.fusedActivationFunction = activation if last else 0
        made.append(add)
        total = both
    place = flatbuffer.place_of(graph, op)
    graph.operators[place : place + 1] = made


def slice_parts(model: Any) -> int:
    """Turn x -> SPLIT -> p, q  into  x -> SLICE -> p  and  x -> SLICE -> q; SPLIT_V too.

    Where one operator reads two parts, CONCATENATION in another order or ADD, the accelerator mixes them up,
    or does not find them. It takes slices of four axes at most, and not along the batch.
    """
    graph = model.subgraphs[0]
    changes = 0
    for op in [o for o in graph.operators if flatbuffer.kind(model, o) in ("SPLIT", "SPLIT_V")]:
        at, number = (0, 1) if flatbuffer.kind(model, op) == "SPLIT" else (2, 0)
        along, source = flatbuffer.constant(model, int(op.inputs[at])), int(op.inputs[number])
        rank = len(graph.tensors[source].shape)
        if along is None or rank > _AXES:
            continue
        axis = int(along.ravel()[0]) % rank
        if not axis:
            continue
        begins, parts = [0] * rank, []
        for result in map(int, op.outputs):
            parts.append(flatbuffer.slice_of(model, source, begins, result))
            begins[axis] += int(graph.tensors[result].shape[axis])
        place = flatbuffer.place_of(graph, op)
        graph.operators[place : place + 1] = parts
        changes += 1
    return changes


def part_pads(model: Any) -> int:
    """Turn PAD -> MAX_POOL_2D  into  PAD -> ADD of 0 -> MAX_POOL_2D, and the same before AVERAGE_POOL_2D.

    The accelerator makes a pool that pads of the two: its maximum takes no notice of the padding, and its
    average does not count it. Behind a RELU that is a maximum's right answer.
    """
    graph = model.subgraphs[0]
    changes = 0
    for op in [o for o in graph.operators if flatbuffer.kind(model, o) in ("PAD", "PADV2")]:
        padded = int(op.outputs[0])
        pools = [
            user
            for user in graph.operators
            if padded in list(user.inputs)
            and flatbuffer.kind(model, user) in ("MAX_POOL_2D", "AVERAGE_POOL_2D")
        ]
        rectified = is_rectified(model, int(op.inputs[0]))
        if not pools or (rectified and all(flatbuffer.kind(model, p) == "MAX_POOL_2D" for p in pools)):
            continue
        name = flatbuffer.title(graph.tensors[padded])
        apart = flatbuffer.add_tensor(model, f"{name}_apart", [int(d) for d in graph.tensors[padded].shape])
        zero = flatbuffer.add_constant(model, f"{name}_and_nothing", np.zeros(1, np.float32))
        graph.operators.insert(
            flatbuffer.place_of(graph, op) + 1, flatbuffer.operator(model, "ADD", [padded, zero], [apart])
        )
        for pool in pools:
            pool.inputs = [apart]
        changes += 1
    return changes


def _zeros(model: Any, name: str, count: int) -> int:
    return flatbuffer.add_constant(model, name, np.zeros(count, np.float32))
