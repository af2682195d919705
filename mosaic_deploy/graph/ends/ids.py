"""Class ids at the end of a graph, made by ArgMax or a comparison, written as (1, h, w) int32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mosaic_deploy.graph.ends.output import (
    INT32,
    INT64,
    Back,
    attributes,
    cast_output,
    dims,
    reshape_output,
    source,
    state,
)
from mosaic_deploy.graph.index import GraphIndex, free_name

if TYPE_CHECKING:
    import onnx

_PLAIN = frozenset({"Cast", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""Operators that leave class ids as they are."""
_COMPARISONS = ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")
_NUMBERS = frozenset({2, 3, 4, 5, 6, 7, 9})
"""TensorProto's numbers of the integers that ids may be, and of bool."""


@dataclass(frozen=True, slots=True)
class _Decision:
    """What makes class ids of scores."""

    node: onnx.NodeProto
    scores: str
    axis: int
    """That of the classes, or of the one score per pixel: 1 or 3."""
    plane: tuple[int, int]
    """Height and width of the ids."""
    threshold: float | None
    """None where the best of several scores is taken."""


def settle_ids(model: onnx.ModelProto, graph: GraphIndex) -> Back | None:
    """Write ids as (1, h, w) int32 right behind the scores that make them; None for an output of scores."""
    output = model.graph.output[0]
    node, resized = _decided_by(graph, output.name)
    found = None if node is None or resized else _read(node, graph)
    if found is not None and _moves_in_order(graph, output, found.plane):
        if not _is_settled(found, graph, output):
            _write(model, found)
        return Back(ids=True, moves=(("reshape", (1, *found.plane)),), threshold=found.threshold)
    if resized or output.type.tensor_type.elem_type in _NUMBERS:
        return _keep(model, output)
    return None


def _decided_by(graph: GraphIndex, name: str) -> tuple[onnx.NodeProto | None, bool]:
    """The ArgMax or comparison that ids come from, and whether they are enlarged behind it."""
    resized = False
    while (node := graph.producer(name)) is not None:
        if node.op_type in ("ArgMax", *_COMPARISONS):
            return node, resized
        if node.op_type in ("Resize", "Upsample") and attributes(node).get("mode", "nearest") == "nearest":
            resized = True
        elif node.op_type not in _PLAIN:
            break
        name = node.input[0]
    return None, False


def _read(node: onnx.NodeProto, graph: GraphIndex) -> _Decision | None:
    """What a node decides by; None where that is not (1, C, h, w) or (1, h, w, C) scores."""
    first, axis, threshold = str(node.input[0]), None, None
    if node.op_type == "ArgMax":
        rank = len(graph.shape(first) or ())
        if not rank:
            return None
        axis = int(attributes(node).get("axis", 0)) % rank
    else:
        compared = _threshold(node, graph)
        if compared is None:
            return None
        first, threshold = compared
    scores, axis = source(graph, first, axis)
    shape = graph.shape(scores)
    if shape is None or len(shape) != 4 or shape[0] != 1:
        return None
    if threshold is not None:
        axis = next((place for place in (1, 3) if shape[place] == 1), None)
    if axis not in (1, 3):
        return None
    plane = (shape[2], shape[3]) if axis == 1 else (shape[1], shape[2])
    return _Decision(node, scores, axis, plane, threshold)


def _is_settled(found: _Decision, graph: GraphIndex, output: onnx.ValueInfoProto) -> bool:
    """Whether an ArgMax, and at most a Cast of its ids, is the end already."""
    node = found.node
    if node.op_type != "ArgMax" or node.input[0] != found.scores or attributes(node).get("keepdims", 1):
        return False
    last = graph.producer(output.name)
    direct = last is node or (last is not None and last.op_type == "Cast" and last.input[0] == node.output[0])
    return direct and output.type.tensor_type.elem_type in (INT32, INT64)


def _keep(model: onnx.ModelProto, output: onnx.ValueInfoProto) -> Back | None:
    """Ids that are made in another way: only their form is made the usual one; None where they are no ids."""
    sides = dims(output)
    plane = tuple(side for side in sides if side != 1)
    if len(plane) != 2 or len(sides) > 4:
        return None
    if output.type.tensor_type.elem_type != INT32:
        cast_output(model)
    if sides != (1, *plane):
        reshape_output(model, (1, *plane))
    return Back(ids=True, moves=(("reshape", (1, *plane)),))


def _moves_in_order(graph: GraphIndex, output: onnx.ValueInfoProto, plane: tuple[int, int]) -> bool:
    """Whether behind the decision only sides of one come and go, and none are turned."""
    if [side for side in dims(output) if side != 1] != [side for side in plane if side != 1]:
        return False
    name = output.name
    while (node := graph.producer(name)) is not None and node.op_type in _PLAIN:
        if node.op_type == "Transpose" and not _keeps_order(node, graph):
            return False
        name = node.input[0]
    return True


def _keeps_order(node: onnx.NodeProto, graph: GraphIndex) -> bool:
    shape = graph.shape(node.input[0])
    order = attributes(node).get("perm")
    if shape is None or order is None:
        return False
    moved = [axis for axis in order if shape[axis] != 1]
    return moved == sorted(moved)


def _threshold(node: onnx.NodeProto, graph: GraphIndex) -> tuple[str, float] | None:
    """The score, and above what it is foreground; None for another comparison."""
    left, right = graph.constant(node.input[0]), graph.constant(node.input[1])
    if node.op_type in ("Greater", "GreaterOrEqual"):
        held, score = right, node.input[0]
    else:
        held, score = left, node.input[1]
    if held is None or held.dtype != np.float32 or held.size != 1 or not np.isfinite(held).all():
        return None
    value = np.float32(held.reshape(-1)[0])
    if node.op_type.endswith("OrEqual"):
        value = np.nextafter(value, np.float32(-np.inf))
    return str(score), float(value)


def _write(model: onnx.ModelProto, found: _Decision) -> None:
    """Write ArgMax and Cast, or Greater, Cast and Reshape, to the output; what did so before is dropped."""
    graph = model.graph
    output = graph.output[0].name
    kept = [node for node in graph.node if output not in node.output]
    del graph.node[:]
    graph.node.extend(kept)
    if found.threshold is None:
        last = bool(attributes(found.node).get("select_last_index"))
        add_best(model, found.scores, output, found.axis, found.plane, name=found.node.name, last=last)
    else:
        add_above(model, found.scores, output, found.plane, found.threshold, name=found.node.name)
    state(model, INT32, (1, *found.plane))


def add_best(
    model: onnx.ModelProto,
    scores: str,
    output: str,
    axis: int,
    plane: tuple[int, int],
    *,
    name: str = "",
    last: bool = False,
) -> None:
    """Append the nodes that make ``output``, (1, h, w) int32, of the best class on ``axis``.

    Of equal scores the first class wins, or the last.
    """
    from onnx import helper

    graph = model.graph
    ids = free_name(graph, "ids")
    more: dict[str, Any] = {"select_last_index": 1} if last else {}
    graph.node.append(
        helper.make_node(
            "ArgMax", [scores], [ids], name or free_name(graph, "best"), axis=axis, keepdims=0, **more
        )
    )
    graph.node.append(helper.make_node("Cast", [ids], [output], free_name(graph, "as_int32"), to=INT32))
    graph.value_info.append(helper.make_tensor_value_info(ids, INT64, (1, *plane)))


def add_above(
    model: onnx.ModelProto,
    scores: str,
    output: str,
    plane: tuple[int, int],
    threshold: float,
    *,
    name: str = "",
) -> None:
    """Append the nodes that make ``output``, (1, h, w) int32: 1 where a score is above the threshold."""
    from onnx import helper, numpy_helper

    graph = model.graph
    limit, above, ids, shape = (
        free_name(graph, part) for part in ("threshold", "above", "mask", "mask_shape")
    )
    graph.initializer.append(numpy_helper.from_array(np.array(threshold, np.float32), limit))
    graph.initializer.append(numpy_helper.from_array(np.array((1, *plane), np.int64), shape))
    graph.node.extend(
        (
            helper.make_node("Greater", [scores, limit], [above], name or free_name(graph, "foreground")),
            helper.make_node("Cast", [above], [ids], free_name(graph, "as_int32"), to=INT32),
            helper.make_node("Reshape", [ids, shape], [output], free_name(graph, "as_plane")),
        )
    )
