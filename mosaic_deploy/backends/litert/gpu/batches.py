"""Exact rewrites of products and sums over batches that LiteRT's GPU accelerator 2.1.2 gets wrong.

Each works in place on the schema's ``ModelT`` and gives the number of its changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.backends.litert.layout import transpose

_SUMS = ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM")


def merge_heads(model: Any) -> int:
    """Turn x (1,4,256,64) -> BATCH_MATMUL by y (1,1,64,64)  into  (1,1,1024,64) -> BATCH_MATMUL -> RESHAPE.

    Attention with one key for all heads, which the accelerator gets wrong.
    """
    graph = model.subgraphs[0]
    changes = 0
    for op in [o for o in graph.operators if flatbuffer.kind(model, o) == "BATCH_MATMUL"]:
        first, second = ([int(d) for d in graph.tensors[i].shape] for i in op.inputs[:2])
        shared = len(first) == len(second) >= 3 and first[:-3] == second[:-3] and second[-3] == 1
        if not shared or first[-3] == 1 or op.builtinOptions.adjX:
            continue
        result = int(op.outputs[0])
        sides = [int(d) for d in graph.tensors[result].shape]
        name = flatbuffer.title(graph.tensors[result])
        rows = [*first[:-3], 1, first[-3] * first[-2]]
        merged = flatbuffer.add_tensor(model, f"{name}_rows", [*rows, first[-1]])
        made = flatbuffer.add_tensor(model, f"{name}_of_rows", [*rows, sides[-1]])
        before = _reshape(model, int(op.inputs[0]), merged, [*rows, first[-1]])
        after = _reshape(model, made, result, sides)
        place = flatbuffer.place_of(graph, op)
        op.inputs, op.outputs = [merged, int(op.inputs[1])], [made]
        graph.operators[place : place + 1] = [before, op, after]
        changes += 1
    return changes


def part_factors(model: Any) -> int:
    """Turn x -> BATCH_MATMUL of x and x turned  into  x -> TRANSPOSE -> BATCH_MATMUL with x.

    Of a product of a tensor by itself, as channels attend to channels, the accelerator ends the process.
    """
    graph = model.subgraphs[0]
    changes = 0
    for op in [o for o in graph.operators if flatbuffer.kind(model, o) == "BATCH_MATMUL"]:
        first, second = (int(i) for i in op.inputs)
        sides = [int(side) for side in graph.tensors[second].shape]
        if first != second or len(sides) < 3:
            continue
        order = [*range(len(sides) - 2), len(sides) - 1, len(sides) - 2]
        name = f"{flatbuffer.title(graph.tensors[second])}_turned_{op.outputs[0]}"
        turned = flatbuffer.add_tensor(model, name, [sides[axis] for axis in order])
        graph.operators.insert(flatbuffer.place_of(graph, op), transpose(model, second, turned, order))
        op.inputs = [first, turned]
        op.builtinOptions.adjY = not op.builtinOptions.adjY
        changes += 1
    return changes


def add_in_four(model: Any) -> int:
    """Turn x (8,4,256) -> ADD of c (8,1,256)  into  x (8,1,4,256) -> ADD of c (8,1,1,256) -> RESHAPE.

    Of a constant of three dimensions the accelerator takes the first for every element of the batch.
    """
    graph = model.subgraphs[0]
    changes = 0
    for op in [o for o in graph.operators if flatbuffer.kind(model, o) in _SUMS]:
        held = [flatbuffer.constant(model, int(i)) for i in op.inputs]
        result = int(op.outputs[0])
        sides = [int(side) for side in graph.tensors[result].shape]
        constant = next((value for value in held if value is not None), None)
        if constant is None:
            continue
        plain = constant.ndim != 3 or constant.shape[0] == 1 or len(held) != 2
        if plain or all(value is not None for value in held) or len(sides) != 3:
            continue
        place = 0 if held[0] is not None else 1
        source, name = int(op.inputs[1 - place]), flatbuffer.title(graph.tensors[result])
        if [int(side) for side in graph.tensors[source].shape] != sides:
            continue
        four = [sides[0], 1, *sides[1:]]
        lifted = flatbuffer.add_tensor(model, f"{name}_lifted", four)
        made = flatbuffer.add_tensor(model, f"{name}_in_four", four)
        number = flatbuffer.add_constant(model, f"{name}_by", np.expand_dims(constant, 1))
        before = _reshape(model, source, lifted, four)
        after = _reshape(model, made, result, sides)
        where = flatbuffer.place_of(graph, op)
        op.inputs = [number, lifted] if place == 0 else [lifted, number]
        op.outputs = [made]
        graph.operators[where : where + 1] = [before, op, after]
        changes += 1
    return changes


def _reshape(model: Any, source: int, result: int, shape: list[int]) -> Any:
    name = f"{flatbuffer.title(model.subgraphs[0].tensors[result])}_shape"
    sizes = flatbuffer.add_constant(model, name, np.array(shape, np.int32))
    op = flatbuffer.operator(model, "RESHAPE", [source, sizes], [result])
    op.builtinOptions.newShape = shape
    return op
