"""Nodes that change nothing, and chains that one node says.

x -> Identity -> y                   becomes    x
x -> Reshape -> Reshape -> y         becomes    x -> Reshape -> y
x -> Expand -> Mul by y              becomes    x -> Mul by y
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from mosaic_deploy.graph.attributes import Attribute, read_attribute
from mosaic_deploy.graph.normal.draft import Draft

if TYPE_CHECKING:
    import onnx

_SAME_GRID = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
_MOVES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
"""Operators that only give an array another shape."""
_REPEATING = frozenset({"Add", "Div", "Max", "Min", "Mul", "Sub"})
"""Operators of two arrays that repeat the smaller one."""


def drop(draft: Draft) -> None:
    """Drop idle nodes and merge chains."""
    draft.visit(lambda node, _: node.op_type in _RULES and _RULES[node.op_type](node, draft))


def _attributes(node: onnx.NodeProto) -> dict[str, Attribute]:
    return {attribute.name: read_attribute(attribute) for attribute in node.attribute}


def _identity(node: onnx.NodeProto, draft: Draft) -> bool:
    return draft.forward(node, node.input[0])


def _dropout(node: onnx.NodeProto, draft: Draft) -> bool:
    """Outside training, or where it drops nothing, it hands its input on; its mask must be unread."""
    training = draft.array(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    ratio = draft.array(node.input[1]) if len(node.input) > 1 and node.input[1] else None
    trains = len(node.input) > 2 and bool(node.input[2]) and (training is None or bool(training.any()))
    trains = trains and (ratio is None or bool(ratio.any()))
    masked = len(node.output) > 1 and (
        draft.graph.consumers(node.output[1]) or node.output[1] in draft.graph.protected
    )
    return not trains and not masked and draft.forward(node, node.input[0])


def _cast(node: onnx.NodeProto, draft: Draft) -> bool:
    before, after = draft.graph.dtype(node.input[0]), draft.graph.dtype(node.output[0])
    return before is not None and before == after and draft.forward(node, node.input[0])


def _same_shape(node: onnx.NodeProto, draft: Draft) -> bool:
    """Reshape and its like, Expand, Tile and Slice that leave the shape leave everything."""
    before, after = draft.graph.shape(node.input[0]), draft.graph.shape(node.output[0])
    if before is None or before != after or not _forward_steps(node, draft):
        return False
    return draft.forward(node, node.input[0])


def _forward_steps(node: onnx.NodeProto, draft: Draft) -> bool:
    if node.op_type != "Slice" or len(node.input) < 5 or not node.input[4]:
        return True
    steps = draft.array(node.input[4])
    return steps is not None and bool((steps == 1).all())


def _expand(node: onnx.NodeProto, draft: Draft) -> bool:
    """What arithmetic repeats by itself need not be repeated before it."""
    if _same_shape(node, draft):
        return True
    before, repeated = draft.graph.shape(node.input[0]), node.output[0]
    readers = draft.graph.consumers(repeated)
    if before is None or not readers or repeated in draft.graph.protected:
        return False
    for reader in readers:
        others = [name for name in reader.input if name != repeated]
        other = draft.graph.shape(others[0]) if len(others) == 1 and len(reader.input) == 2 else None
        if reader.op_type not in _REPEATING or other is None or 0 in (*before, *other):
            return False
        if np.broadcast_shapes(before, other) != draft.graph.shape(reader.output[0]):
            return False
    return draft.forward(node, node.input[0])


def _reshape(node: onnx.NodeProto, draft: Draft) -> bool:
    """Two in a row are one: only the last shape counts."""
    if _same_shape(node, draft):
        return True
    maker = draft.graph.producer(node.input[0], *_MOVES)
    shape = draft.graph.shape(node.output[0])
    if maker is None or draft.touched(maker) or shape is None or 0 in shape:
        return False
    if draft.graph.only_consumer(node.input[0]) is None:
        return False
    import onnx

    sizes = draft.store(node.output[0], np.asarray(shape, np.int64))
    made = onnx.helper.make_node("Reshape", [maker.input[0], sizes], [node.output[0]], name=node.name)
    return draft.replace(node, [made], maker)


def _transpose(node: onnx.NodeProto, draft: Draft) -> bool:
    """No move at all, or two in a row as one."""
    perm = _perm(node, draft)
    if perm is None:
        return False
    if perm == tuple(range(len(perm))):
        return draft.forward(node, node.input[0])
    maker = draft.graph.producer(node.input[0], "Transpose")
    first = None if maker is None else _perm(maker, draft)
    if maker is None or first is None or draft.touched(maker):
        return False
    if draft.graph.only_consumer(node.input[0]) is None:
        return False
    import onnx

    both = [first[axis] for axis in perm]
    made = onnx.helper.make_node("Transpose", [maker.input[0]], [node.output[0]], name=node.name, perm=both)
    return draft.replace(node, [made], maker)


def _perm(node: onnx.NodeProto, draft: Draft) -> tuple[int, ...] | None:
    stated = next((tuple(a.ints) for a in node.attribute if a.name == "perm"), None)
    shape = draft.graph.shape(node.input[0])
    return stated or (None if shape is None else tuple(reversed(range(len(shape)))))


def _neutral(node: onnx.NodeProto, draft: Draft) -> bool:
    """Plus or minus nothing, times or divided by one."""
    shape = draft.graph.shape(node.output[0])
    idle = 0.0 if node.op_type in ("Add", "Sub") else 1.0
    ways = [(0, 1)] if node.op_type in ("Sub", "Div") else [(0, 1), (1, 0)]
    for kept, other in ways:
        held = draft.array(node.input[other])
        if held is not None and held.size and (held == idle).all() and shape is not None:
            return draft.graph.shape(node.input[kept]) == shape and draft.forward(node, node.input[kept])
    return False


def _clip(node: onnx.NodeProto, draft: Draft) -> bool:
    """Between no bounds."""
    return not any(node.input[1:]) and not node.attribute and draft.forward(node, node.input[0])


def _concat(node: onnx.NodeProto, draft: Draft) -> bool:
    """Of one array, or with arrays that hold nothing: a torch.roll by 0 has one."""
    axis = next((int(a.i) for a in node.attribute if a.name == "axis"), 0)
    shapes = [draft.graph.shape(name) for name in node.input]
    held = [
        name
        for name, shape in zip(node.input, shapes, strict=True)
        if shape is None or not -len(shape) <= axis < len(shape) or shape[axis] != 0
    ]
    if len(held) == 1:
        return draft.forward(node, held[0])
    if not held or len(held) == len(node.input):
        return False
    import onnx

    made = onnx.helper.make_node("Concat", held, [node.output[0]], name=node.name, axis=axis)
    return draft.replace(node, [made])


def _pad(node: onnx.NodeProto, draft: Draft) -> bool:
    pads = draft.array(node.input[1]) if len(node.input) > 1 else None
    return pads is not None and not pads.any() and draft.forward(node, node.input[0])


def _resize(node: onnx.NodeProto, draft: Draft) -> bool:
    """To the size that it has already, on a grid that then hits every pixel."""
    stated = _attributes(node)
    frame = stated.get("coordinate_transformation_mode", "half_pixel")
    before, after = draft.graph.shape(node.input[0]), draft.graph.shape(node.output[0])
    same = before is not None and before == after and frame in _SAME_GRID
    return same and stated.get("mode") != "cubic" and draft.forward(node, node.input[0])


def _gather(node: onnx.NodeProto, draft: Draft) -> bool:
    """All elements of an axis in their order.

    x -> Gather(0, 1, ... n - 1) -> y    becomes    x -> Reshape -> y
    """
    axis = next((int(a.i) for a in node.attribute if a.name == "axis"), 0)
    shape, out = draft.graph.shape(node.input[0]), draft.graph.shape(node.output[0])
    indices = draft.array(node.input[1])
    if shape is None or indices is None or not -len(shape) <= axis < len(shape):
        return False
    side = shape[axis]
    if indices.size != side or not np.array_equal(indices.reshape(-1) % max(1, side), np.arange(side)):
        return False
    made_shape = (*shape[:axis], *indices.shape, *shape[axis % len(shape) + 1 :])
    if out is None:
        out = made_shape if axis >= 0 else (*shape[: axis % len(shape)], *made_shape[axis:])
    if out == shape:
        return draft.forward(node, node.input[0])
    import onnx

    sizes = draft.store(node.output[0], np.asarray(out, np.int64))
    made = onnx.helper.make_node("Reshape", [node.input[0], sizes], [node.output[0]], name=node.name)
    return draft.replace(node, [made])


_RULES: Mapping[str, Callable[[onnx.NodeProto, Draft], bool]] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _neutral),
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Dropout": _dropout,
    "Expand": _expand,
    "Flatten": _reshape,
    "Gather": _gather,
    "Identity": _identity,
    "Pad": _pad,
    "Reshape": _reshape,
    "Resize": _resize,
    "Slice": _same_shape,
    "Squeeze": _reshape,
    "Tile": _same_shape,
    "Transpose": _transpose,
    "Unsqueeze": _reshape,
}
