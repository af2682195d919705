"""The part of a graph between some tensors and one that is computed from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mosaic_deploy.graph.index import reads

if TYPE_CHECKING:
    import onnx


def between(model: onnx.ModelProto, target: str, given: Mapping[str, onnx.ValueInfoProto]) -> onnx.ModelProto:
    """Keep what computes a tensor.

    Args:
        model: left as it is.
        target: the part's only output; a node of ``model`` makes it.
        given: tensors that are not computed but fed, and their types. Those that matter become inputs, in
            their order here, and so do inputs of ``model`` that are reached past them.

    Nodes keep their names and order, weights their bits.
    """
    import onnx

    graph = model.graph
    makers = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    kept: set[int] = set()
    read: set[str] = set()
    waiting = [target]
    while waiting:
        name = waiting.pop()
        place = makers.get(name)
        if place is None or place in kept or (name in given and name != target):
            continue
        kept.add(place)
        wanted = list(reads(graph.node[place]))
        read.update(wanted)
        waiting += wanted
    types = {value.name: value for value in graph.input} | dict(given)
    part = onnx.GraphProto(name=graph.name or "part")
    part.node.extend(graph.node[i] for i in sorted(kept))
    part.initializer.extend(tensor for tensor in graph.initializer if tensor.name in read)
    stored = {tensor.name for tensor in part.initializer}
    part.input.extend(value for name, value in types.items() if name in read and name not in stored)
    known = {value.name: value for value in (*graph.value_info, *graph.output)}
    part.output.append(known.get(target, onnx.ValueInfoProto(name=target)))
    return onnx.helper.make_model(part, opset_imports=list(model.opset_import), ir_version=model.ir_version)
