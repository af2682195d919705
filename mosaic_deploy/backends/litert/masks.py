"""Masks before a SOFTMAX in a float TFLite file, no lower than need be; see ``quantize.sentinels``."""

from __future__ import annotations

from typing import Any

import numpy as np

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.quantize.histogram import Ranges
from mosaic_deploy.quantize.sentinels import LEAST, bounded, margin

_MOVES = ("TRANSPOSE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS")


def fold_masks(model: Any) -> int:
    """Turn constant -> TRANSPOSE -> x  into  another constant -> x; the number of operators that go."""
    graph = model.subgraphs[0]
    changes = 0
    for op in [o for o in graph.operators if flatbuffer.kind(model, o) == "TRANSPOSE"]:
        value, order = (flatbuffer.constant(model, int(index)) for index in op.inputs[:2])
        if (
            value is None
            or order is None
            or value.dtype != np.float32
            or op.outputs[0] in list(graph.outputs)
        ):
            continue
        title = f"{flatbuffer.title(graph.tensors[op.outputs[0]])}_stored"
        turned = np.ascontiguousarray(value.transpose(order.tolist()))
        number = flatbuffer.add_constant(model, title, turned)
        for user in graph.operators:
            user.inputs = [number if index == op.outputs[0] else index for index in user.inputs]
        graph.operators.remove(op)
        changes += 1
    return changes


def bound_masks(model: Any, ranges: Ranges) -> Ranges:
    """Turn scores -> ADD(0 or -1e9) -> SOFTMAX  into  scores -> ADD(0 or -M) -> SOFTMAX, in place.

    Returns the ranges, with those of what is masked.
    """
    found = dict(ranges)
    for op in model.subgraphs[0].operators:
        if flatbuffer.kind(model, op) == "SOFTMAX":
            _bound(model, int(op.inputs[0]), found)
    return found


def _bound(model: Any, index: int, found: Ranges) -> None:
    graph = model.subgraphs[0]
    makers = {int(i): op for op in graph.operators for i in op.outputs}
    moved = [index]
    while _is_read_once(graph, moved[-1]) and moved[-1] in makers:
        if flatbuffer.kind(model, makers[moved[-1]]) not in _MOVES:
            break
        moved.append(int(makers[moved[-1]].inputs[0]))
    op = makers.get(moved[-1])
    if op is None or flatbuffer.kind(model, op) != "ADD" or not _is_read_once(graph, moved[-1]):
        return
    values = [flatbuffer.constant(model, int(i)) for i in op.inputs]
    masks = [place for place, value in enumerate(values) if value is not None]
    if len(masks) != 1:
        return
    mask, scores = values[masks[0]], flatbuffer.title(graph.tensors[op.inputs[1 - masks[0]]])
    if mask is None or mask.dtype != np.float32 or not (mask <= LEAST).any() or scores not in found:
        return
    low, high = (float(end) for end in found[scores])
    if low <= LEAST:
        return
    floor = low - margin(mask.size)
    title = f"{flatbuffer.title(graph.tensors[moved[-1]])}_bounded"
    number = flatbuffer.add_constant(model, title, bounded(mask, floor - high))
    op.inputs = [number if place == masks[0] else i for place, i in enumerate(op.inputs)]
    for each in (flatbuffer.title(graph.tensors[i]) for i in moved):
        if each in found:
            found[each] = (np.float32(floor), np.maximum(found[each][1], np.float32(high)))


def _is_read_once(graph: Any, index: int) -> bool:
    readers = sum(list(op.inputs).count(index) for op in graph.operators)
    return readers == 1 and index not in list(graph.outputs)
