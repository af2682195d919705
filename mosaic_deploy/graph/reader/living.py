"""What of a graph leads to its outputs, and what of it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """Names of the tensors that a node reads, those that its bodies take from outside included."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            own = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
            for inner in body.node:
                yield from (name for name in reads(inner) if name not in own)
                own |= set(inner.output)
            yield from (value.name for value in body.output if value.name not in own)


def prune(graph: onnx.GraphProto) -> None:
    """Drop the nodes, weights and notes of shapes that do not lead to an output."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(reads(node))
    if len(kept) < len(graph.node):
        alive = [type(node).FromString(node.SerializeToString()) for node in reversed(kept)]
        del graph.node[:]
        graph.node.extend(alive)
    made = {name for node in graph.node for name in node.output}
    for held, wanted in ((graph.initializer, needed), (graph.value_info, made)):
        for index in reversed(range(len(held))):  # one by one: weights are large, and few go
            if held[index].name not in wanted:
                del held[index]
