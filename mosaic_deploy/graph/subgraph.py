"""Parts of a model as models of their own: to try a cure on, or to show a compiler's author what fails."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.facts import Node, nodes
from mosaic_deploy.graph.index import reads

if TYPE_CHECKING:
    import onnx


def cut(
    model: onnx.ModelProto, places: Collection[int], described: Sequence[Node] | None = None
) -> onnx.ModelProto:
    """Cut nodes out of a model.

    What they read from others becomes an input, what others read of theirs an output. Nodes that compute
    constants for them come along.

    Args:
        model: as ``read_model`` returned it: its shapes are inferred.
        places: of the nodes in ``model.graph.node``, which keep their names and order.
        described: what ``nodes`` made of the model, for a caller that cuts more than once.

    Raises ``ModelError`` where a tensor at the border has no known shape.
    """
    import onnx

    graph = model.graph
    kept = _with_constants(model, places, nodes(model) if described is None else described)
    stored = {tensor.name: tensor for tensor in graph.initializer}
    made = {name for i in kept for name in graph.node[i].output if name}
    read = {name for i in kept for name in reads(graph.node[i])}
    elsewhere = {name for i, node in enumerate(graph.node) if i not in kept for name in reads(node)}
    elsewhere |= {value.name for value in graph.output}
    given = [name for i in sorted(kept) for name in reads(graph.node[i]) if name not in made | stored.keys()]
    ends = [name for i in sorted(kept) for name in graph.node[i].output if name]
    outputs = [name for name in ends if name in elsewhere] or [name for name in ends if name not in read]
    known = {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}
    part = onnx.GraphProto(name=graph.name or "part")
    part.node.extend(graph.node[i] for i in sorted(kept))
    part.initializer.extend(tensor for name, tensor in stored.items() if name in read)
    part.input.extend(_typed(name, known) for name in dict.fromkeys(given))
    part.output.extend(_typed(name, known) for name in outputs)
    inside = made - set(outputs)
    part.value_info.extend(value for value in graph.value_info if value.name in inside)
    return onnx.helper.make_model(part, opset_imports=list(model.opset_import), ir_version=model.ir_version)


def around(model: onnx.ModelProto, place: int, *, hops: int, most: int) -> frozenset[int]:
    """Places of the nodes near one: those ``hops`` edges away at most, the nearest first, ``most`` in all."""
    makers = {name: i for i, node in enumerate(model.graph.node) for name in node.output if name}
    readers: dict[str, list[int]] = defaultdict(list)
    for i, node in enumerate(model.graph.node):
        for name in reads(node):
            readers[name].append(i)
    found, waiting = {place}, deque([(place, 0)])
    while waiting and len(found) < most:
        at, far = waiting.popleft()
        if far == hops:
            continue
        node = model.graph.node[at]
        near = [makers[name] for name in reads(node) if name in makers]
        near += [i for name in node.output for i in readers[name]]
        for i in near:
            if i not in found and len(found) < most:
                found.add(i)
                waiting.append((i, far + 1))
    return frozenset(found)


def _with_constants(model: onnx.ModelProto, places: Collection[int], described: Sequence[Node]) -> set[int]:
    folded = [node.folded for node in described]
    makers = {name: i for i, node in enumerate(model.graph.node) for name in node.output if name}
    kept, waiting = set(places), list(places)
    while waiting:
        for name in reads(model.graph.node[waiting.pop()]):
            maker = makers.get(name)
            if maker is not None and maker not in kept and folded[maker]:
                kept.add(maker)
                waiting.append(maker)
    return kept


def _typed(name: str, known: dict[str, onnx.ValueInfoProto]) -> onnx.ValueInfoProto:
    value = known.get(name)
    if value is None or not value.type.tensor_type.HasField("shape"):
        raise ModelError(f"'{name}' has no known shape, so the graph cannot be cut there")
    return value
