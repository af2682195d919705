"""What a graph does to its scores or class ids after the network proper, brought into one form.

scores -> Transpose, Squeeze ... -> output       becomes   scores (1, C, h, w)
scores -> ArgMax -> Cast, Squeeze ... -> output  becomes   scores -> ArgMax -> Cast -> ids (1, h, w) int32
score -> Greater -> Cast ... -> output           becomes   score -> Greater -> Cast -> ids (1, h, w) int32
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from mosaic_deploy.graph.ends.ids import settle_ids
from mosaic_deploy.graph.ends.output import FLOAT, Back, Move, attributes, dims, reshape_output, source, state
from mosaic_deploy.graph.index import GraphIndex, free_name, replace_name

if TYPE_CHECKING:
    import onnx

SIGMOID_THRESHOLD, SCORE_THRESHOLD = 0.5, 0.0
"""Above which a lone score is the foreground's: of a sigmoid, and of what would go into one."""


def settle_back(model: onnx.ModelProto) -> Back:
    """Bring the end of a graph with one output, shapes inferred, into its form, in the model itself."""
    graph = GraphIndex(model)
    return settle_ids(model, graph) or _settle_scores(model, graph)


def _settle_scores(model: onnx.ModelProto, graph: GraphIndex) -> Back:
    """Take off what moves (1, C, h, w) scores about."""
    output = model.graph.output[0]
    sides = dims(output)
    name, _ = source(graph, output.name, None)
    shape = graph.shape(name)
    moves: tuple[Move, ...] = ()
    if name != output.name and shape is not None and len(shape) == 4 and shape[0] == 1:
        moves = tuple(_undone(graph, step) for step in _steps(graph, output.name, name))
        _end_at(model, graph, name, shape)
    elif len(sides) in (2, 3) and all(sides):  # made so: (C, h, w), or (h, w) of one class
        whole = (1, *sides) if len(sides) == 3 else (1, 1, *sides)
        moves = (("reshape", whole),)
        reshape_output(model, whole)
    sigmoid = graph.producer(name, "Sigmoid") is not None
    return Back(moves=moves, threshold=SIGMOID_THRESHOLD if sigmoid else SCORE_THRESHOLD)


def _steps(graph: GraphIndex, last: str, first: str) -> Iterator[onnx.NodeProto]:
    """The nodes from a tensor back to an earlier one, the last first."""
    while last != first:
        node = graph.producer(last)
        assert node is not None
        yield node
        last = node.input[0]


def _undone(graph: GraphIndex, node: onnx.NodeProto) -> Move:
    """The step from a node's output back to its input."""
    if node.op_type == "Transpose":
        return "transpose", tuple(int(axis) for axis in np.argsort(attributes(node)["perm"]))
    shape = graph.shape(node.input[0])
    assert shape is not None
    return "reshape", shape


def _end_at(model: onnx.ModelProto, graph: GraphIndex, name: str, shape: tuple[int, ...]) -> None:
    """Let the graph end at an earlier tensor, under the output's name."""
    from onnx import helper

    proto = model.graph
    last = proto.output[0].name
    chain = {node.output[0] for node in _steps(graph, last, name)}
    if graph.producer(name) is None or name in graph.protected:
        kept = [node for node in proto.node if last not in node.output]
        kept.append(helper.make_node("Identity", [name], [last], free_name(proto, "output")))
    else:
        kept = [node for node in proto.node if node.output[0] not in chain]
        for node in kept:
            replace_name(node.output, name, last)
            replace_name(node.input, name, last)
    del proto.node[:]
    proto.node.extend(kept)
    state(model, FLOAT, shape)
