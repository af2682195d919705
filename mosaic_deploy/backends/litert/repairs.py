"""Repairs of what onnx2tf breaks or leaves: connections lost, paddings and products in forms that do no good.

Each works in place on the schema's ``ModelT`` and gives the number of its changes; whether the network is
still the same is found by running it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.backends.litert.layout import TO_NCHW, transpose

_BRIDGE = "_nhwc"
"""How onnx2tf names, behind the tensor's own name, the same in NHWC."""
_TO = "_to_nhwc"
"""The same of a tensor that it reshapes for it."""

_LOWEST = -float(np.finfo(np.float16).max)
"""From here on a number is meant to be below all others."""
_FILTERS = ("filterHeight", "filterWidth")
_MOST_JOINED = 5
"""Inputs of a CONCATENATION that XNNPACK takes."""
_SAME_GRID = ("MAXIMUM", "MINIMUM", "SELECT_V2")
"""Operators that broadcast, and whose inputs are held on their output's grid."""


def reconnect(model: Any) -> int:
    """Turn  ADD -> y_nhwc, y (made by nothing) -> SPLIT  into  ADD -> y_nhwc -> TRANSPOSE -> y -> SPLIT.

    onnx2tf gives an operator another output, in NHWC, and forgets who else takes the old one.
    """
    graph = model.subgraphs[0]
    makers = {int(i): op for op in graph.operators for i in op.outputs}
    taken = dict.fromkeys(int(i) for op in graph.operators for i in op.inputs if i >= 0)
    lost = [i for i in taken if i not in makers and i not in list(graph.inputs)]
    changes = 0
    for index in [i for i in lost if flatbuffer.constant(model, i) is None]:
        twin = next((i for i in makers if _is_twin(graph.tensors[i], graph.tensors[index])), None)
        if twin is not None:
            place = next(n for n, op in enumerate(graph.operators) if op is makers[twin])
            graph.operators.insert(place + 1, transpose(model, twin, index, TO_NCHW))
            changes += 1
    return changes


def _is_twin(tensor: Any, lost: Any) -> bool:
    """Whether a tensor is a lost one in NHWC, by its name and shape."""
    shapes = [[] if t.shape is None else [int(d) for d in t.shape] for t in (tensor, lost)]
    if len(shapes[0]) != 4 or len(shapes[1]) != 4 or tensor.type != lost.type:
        return False
    turned = np.array(shapes[0])[TO_NCHW].tolist() == shapes[1]
    return turned and flatbuffer.title(tensor).startswith(f"{flatbuffer.title(lost)}{_BRIDGE}")


def skip_bridges(model: Any) -> int:
    """Turn  y (1,1,1,C) -> RESHAPE -> y__to_nhwc (1,1,C,1) -> MUL  into  y (1,1,1,C) -> MUL.

    onnx2tf brings a pixel of all channels into NHWC so; what it is made of as well, and then this is wrong.
    """
    graph = model.subgraphs[0]
    changes = 0
    for op in [o for o in graph.operators if flatbuffer.kind(model, o) == "RESHAPE"]:
        source, bridge = (graph.tensors[int(ends[0])] for ends in (op.inputs, op.outputs))
        before, after = ([int(side) for side in tensor.shape] for tensor in (source, bridge))
        named = flatbuffer.title(bridge) == f"{flatbuffer.title(source)}_{_TO}"
        if not named or before[:-1] != [1, 1, 1] or after != [1, 1, before[-1], 1] or before == after:
            continue
        for reader in graph.operators:
            reader.inputs = [int(op.inputs[0]) if i == op.outputs[0] else int(i) for i in reader.inputs]
        graph.operators.remove(op)
        changes += 1
    return changes


def state_shapes(model: Any) -> int:
    """Turn x -> RESHAPE to what SHAPE and GATHER compute  into  x -> RESHAPE to a constant.

    Every size is known here, and a GPU takes no shape that is computed.
    """
    graph = model.subgraphs[0]
    changes = 0
    for op in graph.operators:
        if flatbuffer.kind(model, op) != "RESHAPE" or len(op.inputs) < 2:
            continue
        sides = [int(side) for side in graph.tensors[op.outputs[0]].shape]
        if min(sides, default=1) < 1 or flatbuffer.constant(model, int(op.inputs[1])) is not None:
            continue
        name = f"{flatbuffer.title(graph.tensors[op.outputs[0]])}_sides"
        op.inputs = [int(op.inputs[0]), flatbuffer.add_constant(model, name, np.array(sides, np.int32))]
        changes += 1
    return changes


def pad_plainly(model: Any) -> int:
    """Turn RELU -> PADV2 by a lowest number -> MAX_POOL_2D  into  RELU -> PAD by 0 -> MAX_POOL_2D.

    No maximum of numbers that are not negative is below 0, and so low a number makes a grid of no use. Where
    they may be negative, the image's edges are repeated, which are in every window that reaches beyond them.
    Any other PADV2 gets a number of as many dimensions as what it pads, which ai-edge-quantizer asks for.
    """
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    changes = 0
    for op in [o for o in graph.operators if flatbuffer.kind(model, o) == "PADV2"]:
        value = flatbuffer.constant(model, int(op.inputs[2]))
        if value is None or value.size != 1:
            continue
        users = [user for user in graph.operators if int(op.outputs[0]) in list(user.inputs)]
        pooled = users and all(flatbuffer.kind(model, user) == "MAX_POOL_2D" for user in users)
        low = pooled and value.ravel()[0] < 0 and is_rectified(model, int(op.inputs[0]))
        if pooled and not low and value.ravel()[0] <= _LOWEST and _repeat_edges(model, op, users):
            changes += 1
            continue
        rank = len(graph.tensors[op.inputs[0]].shape)
        if low or value.ravel()[0] == 0:
            op.opcodeIndex = flatbuffer.opcode(model, "PAD", version=1)
            op.inputs = op.inputs[:2]
            op.builtinOptionsType, op.builtinOptions = schema.BuiltinOptions.PadOptions, schema.PadOptionsT()
        elif value.ndim != rank:
            name = f"{flatbuffer.title(graph.tensors[op.inputs[2]])}_rank{rank}"
            number = flatbuffer.add_constant(model, name, value.reshape((1,) * rank))
            op.inputs = [*op.inputs[:2], number]
        else:
            continue
        changes += 1
    return changes


def _repeat_edges(model: Any, pad: Any, pools: Sequence[Any]) -> bool:
    """Put an image's outermost rows and columns around it, for pools wider than the border; else False."""
    graph, widths = model.subgraphs[0], flatbuffer.constant(model, int(pad.inputs[1]))
    sides = [int(side) for side in graph.tensors[pad.inputs[0]].shape]
    if widths is None or len(sides) != 4 or widths[0].any() or widths[3].any():
        return False
    reach = [min(int(getattr(p.builtinOptions, name)) for p in pools) for name in _FILTERS]
    borders = {axis: [int(wide) for wide in widths[axis]] for axis in (1, 2) if widths[axis].any()}
    wide = any(max(w) >= reach[axis - 1] or sum(w) >= _MOST_JOINED for axis, w in borders.items())
    if wide or not borders:
        return False
    name, source = flatbuffer.title(graph.tensors[pad.outputs[0]]), int(pad.inputs[0])
    made: list[Any] = []
    for axis, (before, after) in borders.items():
        first = _edge(model, source, axis, 0, made) if before else -1
        last = _edge(model, source, axis, sides[axis] - 1, made) if after else -1
        sides[axis] += before + after
        whole = axis == max(borders)
        result = int(pad.outputs[0]) if whole else flatbuffer.add_tensor(model, f"{name}_rows", list(sides))
        joined = [*[first] * before, source, *[last] * after]
        join = flatbuffer.operator(model, "CONCATENATION", joined, [result])
        join.builtinOptions.axis = axis
        made.append(join)
        source = result
    place = flatbuffer.place_of(graph, pad)
    graph.operators[place : place + 1] = made
    return True


def _edge(model: Any, source: int, axis: int, place: int, made: list[Any]) -> int:
    """One row or column of an image; the operator that cuts it out goes to ``made``."""
    tensor = model.subgraphs[0].tensors[source]
    name, size = f"{flatbuffer.title(tensor)}_edge_{axis}_{place}", [int(side) for side in tensor.shape]
    begin = [0] * len(size)
    size[axis], begin[axis] = 1, place
    edge = flatbuffer.add_tensor(model, name, size)
    made.append(flatbuffer.slice_of(model, source, begin, edge))
    return edge


def is_rectified(model: Any, index: int) -> bool:
    """Whether a tensor is what a RELU gives, fused or alone."""
    maker = next((op for op in model.subgraphs[0].operators if index in list(op.outputs)), None)
    if maker is None:
        return False
    fused = getattr(maker.builtinOptions, "fusedActivationFunction", 0)
    return flatbuffer.kind(model, maker) in ("RELU", "RELU6") or fused in (1, 3)


def connect_fully(model: Any) -> int:
    """Turn x -> BATCH_MATMUL by a constant (K, N)  into  x -> FULLY_CONNECTED by its transpose (N, K).

    ai-edge-quantizer takes the constant of a BATCH_MATMUL for an activation's, and gets it wrong. This is for
    integers alone: LiteRT's GPU accelerator gets some FULLY_CONNECTED of three dimensions wrong.
    """
    graph = model.subgraphs[0]
    changes = 0
    for op in [o for o in graph.operators if flatbuffer.kind(model, o) == "BATCH_MATMUL"]:
        source, weights = graph.tensors[op.inputs[0]], flatbuffer.constant(model, int(op.inputs[1]))
        if weights is None or op.builtinOptions.adjX or weights.size != math.prod(weights.shape[-2:]):
            continue
        if len(source.shape) < weights.ndim or flatbuffer.dtype(source) != "FLOAT32":
            continue
        matrix = weights.reshape(weights.shape[-2:])
        turned = matrix if op.builtinOptions.adjY else matrix.T
        name = f"{flatbuffer.title(graph.tensors[op.outputs[0]])}_weights"
        number = flatbuffer.add_constant(model, name, np.ascontiguousarray(turned))
        made = flatbuffer.operator(
            model, "FULLY_CONNECTED", [int(op.inputs[0]), number, -1], list(op.outputs)
        )
        made.builtinOptions.keepNumDims = True
        place = flatbuffer.place_of(graph, op)
        graph.operators[place] = made
        changes += 1
    return changes


def raise_constants(model: Any) -> int:
    """Turn x (4-d) -> MAXIMUM with a constant (C,)  into  x -> MAXIMUM with it as (1, 1, 1, C).

    ai-edge-quantizer gives such a constant its output's parameters, with as many dimensions as that has.
    """
    graph = model.subgraphs[0]
    changes = 0
    for op in [o for o in graph.operators if flatbuffer.kind(model, o) in _SAME_GRID]:
        rank = len(graph.tensors[op.outputs[0]].shape)
        for place, index in enumerate(list(op.inputs)):
            value = flatbuffer.constant(model, int(index)) if index >= 0 else None
            if value is None or value.dtype != np.float32 or value.ndim >= rank:
                continue
            name = f"{flatbuffer.title(graph.tensors[index])}_rank{rank}_{changes}"
            sides = (1,) * (rank - value.ndim) + value.shape
            number = flatbuffer.add_constant(model, name, value.reshape(sides))
            op.inputs = [*op.inputs[:place], number, *op.inputs[place + 1 :]]
            changes += 1
    return changes


def spread_bounds(model: Any) -> int:
    """Turn x -> MAXIMUM with one number above 0  into  x -> MAXIMUM with a row of it; MINIMUM below 0 alike.

    LiteRT 2.1.2's XNNPACK takes the former for a clamp of the operator before, and then loads no file.
    """
    graph = model.subgraphs[0]
    changes = 0
    for op in graph.operators:
        sign = {"MAXIMUM": 1, "MINIMUM": -1}.get(flatbuffer.kind(model, op))
        sides = [int(side) for side in graph.tensors[op.outputs[0]].shape]
        if sign is None or not sides or sides[-1] == 1:
            continue
        for place, index in enumerate(list(op.inputs)):
            value = flatbuffer.constant(model, int(index))
            if value is None or value.dtype != np.float32 or value.size != 1 or sign * value.item() <= 0:
                continue
            name = f"{flatbuffer.title(graph.tensors[op.outputs[0]])}_bound"
            row = np.full(sides[-1], value.item(), np.float32)
            number = flatbuffer.add_constant(model, name, row)
            op.inputs = [*op.inputs[:place], number, *op.inputs[place + 1 :]]
            changes += 1
    return changes


def name_apart(model: Any) -> int:
    """Give tensors that share a name one each, by which ai-edge-quantizer knows them; ends keep theirs."""
    graph = model.subgraphs[0]
    ends = [*graph.inputs, *graph.outputs]
    taken = {flatbuffer.title(graph.tensors[index]) for index in ends}
    changes = 0
    for index, tensor in enumerate(graph.tensors):
        name = flatbuffer.title(tensor)
        if index not in ends and name in taken:
            tensor.name = f"{name}__{index}".encode()
            changes += 1
        taken.add(flatbuffer.title(tensor))
    return changes
