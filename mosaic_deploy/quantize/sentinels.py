"""Masks before a Softmax, -1e9 or minus infinity in a constant, which would stretch a range to no use.

    scores -> Add(0 or -1e9) -> Softmax     becomes     scores -> Add(0 or -M) -> Softmax

with M so large that what is masked still comes out as 0 on any grid of 8 bits, and no larger.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.index import consumers_of, free_name, producer_of

if TYPE_CHECKING:
    import onnx

    from mosaic_deploy.quantize.histogram import Ranges

LEAST = -1e4
"""From here on down a number in a mask means: never."""
_FINITE = 1e9
_MOVES = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity")
_LEVELS = 256


def without_infinities(model: onnx.ModelProto) -> int:
    """Write 1e9 for infinity in float constants, with its sign; the number of constants that are changed."""
    import onnx

    changes = 0
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = onnx.numpy_helper.to_array(tensor)
        if np.isinf(values).any():
            kept = np.clip(values, -_FINITE, _FINITE).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(kept, tensor.name))
            changes += 1
    return changes


def bound_sentinels(model: onnx.ModelProto, ranges: Ranges) -> Ranges:
    """Make masks no lower than they need be, in place; the ranges with those of what is masked."""
    found = dict(ranges)
    for node in model.graph.node:
        if node.op_type == "Softmax":
            _bound(model, node.input[0], found)
    return found


def margin(readers: int) -> float:
    """How far below every score a masked one must be, for ``readers`` such to add up to less than a level."""
    return math.log(_LEVELS * max(readers, 2))


def bounded(values: NDArray[Any], low: float) -> NDArray[np.float32]:
    """A mask whose sentinels are ``low``, and the rest as it is."""
    return np.where(values <= LEAST, np.float32(low), values).astype(np.float32)


def _bound(model: onnx.ModelProto, name: str, found: Ranges) -> None:
    """Go back from a Softmax over what moves data to the Add or Where of a mask, and bound it."""
    import onnx

    graph, moved = model.graph, [name]
    maker = producer_of(graph, name)
    while maker is not None and maker.op_type in _MOVES and len(consumers_of(graph, moved[-1])) == 1:
        moved.append(maker.input[0])
        maker = producer_of(graph, moved[-1])
    if maker is None or maker.op_type not in ("Add", "Where") or len(consumers_of(graph, moved[-1])) != 1:
        return
    constants = {tensor.name: tensor for tensor in graph.initializer}
    places = [0, 1] if maker.op_type == "Add" else [1, 2]
    masks = [place for place in places if maker.input[place] in constants]
    scores = [maker.input[place] for place in places if maker.input[place] in found]
    if len(masks) != 1 or len(scores) != 1:
        return
    tensor = constants[maker.input[masks[0]]]
    values = onnx.numpy_helper.to_array(tensor)
    low, high = (float(end) for end in found[scores[0]])
    if values.dtype != np.float32 or not (values <= LEAST).any() or low <= LEAST:
        return
    floor = low - margin(values.size)
    own = onnx.numpy_helper.from_array(
        bounded(values, floor if maker.op_type == "Where" else floor - high),
        free_name(graph, f"{tensor.name}/bounded"),
    )
    graph.initializer.append(own)
    maker.input[masks[0]] = own.name
    top = max(float(found[moved[-1]][1]), high) if moved[-1] in found else high
    for each in moved:
        found[each] = (np.float32(floor), np.float32(top))
