"""A graph as several that run one after the other, so that only some of its tensors are held at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from mosaic_deploy.graph.index import reads

if TYPE_CHECKING:
    import onnx

_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Segment:
    """Some nodes in a row, as a model of their own."""

    model: onnx.ModelProto
    """Its inputs are what it reads of the graph's input and of earlier segments, its outputs all it makes."""
    last_use: frozenset[str]
    """Tensors that no later segment reads."""


def segments(model: onnx.ModelProto, most_bytes: int) -> Iterator[Segment]:
    """Cut a graph wherever its nodes have made ``most_bytes`` since the last cut.

    There is no cut where a tensor that is handed on is of unknown type; sides of unknown length count as 1.

    Args:
        model: its nodes in an order in which they can run; its shapes are inferred. Left as it is.
        most_bytes: of what a segment makes; a single node may make more.
    """
    graph = model.graph
    known = {v.name: v for v in (*graph.input, *graph.value_info, *graph.output)}
    stored = {tensor.name for tensor in graph.initializer}
    last = {
        name: place for place, node in enumerate(graph.node) for name in reads(node) if name not in stored
    }
    begun, held, open_ = 0, 0, set[str]()
    for place, node in enumerate(graph.node):
        open_ |= {name for name in node.output if name}
        held += sum(_bytes(known.get(name)) for name in node.output)
        end = place + 1
        following = graph.node[end] if end < len(graph.node) else None
        over = (
            following is not None and held + sum(_bytes(known.get(n)) for n in following.output) > most_bytes
        )
        handed_on = {name for name in open_ if last.get(name, -1) >= end}
        if following is not None and not (over and all(_is_typed(known.get(name)) for name in handed_on)):
            continue
        yield _segment(model, begun, end, known, stored, last)
        begun, held, open_ = end, 0, set()


def _segment(
    model: onnx.ModelProto,
    begun: int,
    end: int,
    known: dict[str, onnx.ValueInfoProto],
    stored: set[str],
    last: dict[str, int],
) -> Segment:
    import onnx

    nodes = model.graph.node[begun:end]
    made = list(dict.fromkeys(name for node in nodes for name in node.output if name))
    read = dict.fromkeys(name for node in nodes for name in reads(node))
    part = onnx.GraphProto(name=f"{model.graph.name or 'graph'}_{begun}")
    part.node.extend(nodes)
    part.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in read)
    given = [name for name in read if name not in stored and name not in made]
    part.input.extend(known[name] for name in given)
    part.output.extend(known.get(name, onnx.ValueInfoProto(name=name)) for name in made)
    cut = onnx.helper.make_model(part, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    cut.functions.extend(model.functions)
    over = frozenset(name for name in (*given, *made) if last.get(name, -1) < end)
    return Segment(cut, over)


def _is_typed(value: onnx.ValueInfoProto | None) -> bool:
    return value is not None and value.type.tensor_type.elem_type != 0


def _bytes(value: onnx.ValueInfoProto | None) -> int:
    """As if it held floats."""
    if value is None:
        return 0
    return _FLOAT_BYTES * prod(max(int(side.dim_value), 1) for side in value.type.tensor_type.shape.dim)
