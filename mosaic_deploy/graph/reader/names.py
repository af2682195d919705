"""Names in an ONNX graph: text, unique, and in an order in which every tensor is made before it is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mosaic_deploy.errors import ModelError

if TYPE_CHECKING:
    import onnx

NODES = 12_000
"""Most nodes in a model, bodies of ``If`` and ``Loop`` included: what is checked in 10 s."""

_DEPTH = 16
_NAME = 4096
_TEXT = 1 << 20  # of an attribute, which reports may quote
_LIST = 4096  # numbers or texts in one attribute
_EDGES = 100_000


def require_sound(model: onnx.ModelProto) -> None:
    """Refuse broken names, broken order and absurd sizes.

    Raises:
        ModelError: a name is not text, is given twice or read before it is made; the graph has a cycle; or
            there are more nodes or deeper bodies than any network has.
    """
    _require_text(o.domain for o in model.opset_import)
    _require_text(f.name for f in model.functions)
    count = edges = 0
    for graph, depth in graphs(model.graph):
        if depth > _DEPTH:
            raise ModelError(f"bodies of If and Loop are nested more than {_DEPTH} deep")
        count += len(graph.node)
        if count > NODES:
            raise ModelError(f"more than {NODES} nodes")
        edges += sum(len(node.input) + len(node.output) for node in graph.node)
        if edges > _EDGES:
            raise ModelError(f"nodes have more than {_EDGES} inputs and outputs")
        _require_text(_names(graph))
        _require_text(_notes(graph), printable=False)
        _require_short(graph)
    _require_order(model.graph, ())


def graphs(graph: onnx.GraphProto, depth: int = 0) -> Iterator[tuple[onnx.GraphProto, int]]:
    """Walk a graph and the bodies inside its nodes, with their depth (0 for the graph itself)."""
    yield graph, depth
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs(attribute.g, depth + 1)
            for body in attribute.graphs:
                yield from graphs(body, depth + 1)


def _names(graph: onnx.GraphProto) -> Iterator[str]:
    yield graph.name
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield value.name
        for dim in value.type.tensor_type.shape.dim:
            yield dim.dim_param
    for tensor in graph.initializer:
        yield tensor.name
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield from (attribute.name, attribute.ref_attr_name, attribute.t.name)


def _notes(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        for entry in node.metadata_props:
            yield from (entry.key, entry.value)


def _require_text(texts: Iterator[str], *, printable: bool = True) -> None:
    for text in texts:
        if not isinstance(text, str):  # protobuf hands out bytes where a string is not UTF-8
            raise ModelError(f"holds a name that is not UTF-8 text: {text!r:.60}")
        if printable and not text.isprintable():
            raise ModelError(f"holds a name with control characters: {text!r:.60}")
        if printable and len(text) > _NAME:
            raise ModelError(f"holds a name of {len(text)} characters: {text!r:.60}")


def _require_short(graph: onnx.GraphProto) -> None:
    for node in graph.node:
        for attribute in node.attribute:
            title = f"node '{node.name:.80}' ({node.op_type:.80}): attribute '{attribute.name:.80}' holds"
            if len(attribute.s) > _TEXT:
                raise ModelError(f"{title} {len(attribute.s)} bytes of text")
            count = len(attribute.ints) + len(attribute.floats) + len(attribute.strings)
            if count > _LIST and node.op_type != "Constant":
                raise ModelError(f"{title} {count} elements: store them as a tensor")


def _require_order(graph: onnx.GraphProto, outside: tuple[set[str], ...]) -> None:
    made = {tensor.name for tensor in graph.initializer}
    if len(made) != len(graph.initializer):
        raise ModelError("two initialisers have one name")
    inputs = [value.name for value in graph.input]
    if len(set(inputs)) != len(inputs):
        raise ModelError("two inputs have one name")
    made.update(inputs)
    later = _makers(graph, made)
    for node in graph.node:
        title = f"node '{node.name or node.output[0]}' ({node.op_type})"
        for name in node.input:
            if name and not any(name in scope for scope in (made, *outside)):
                raise ModelError(f"{title} reads '{name}', {_why_unmade(graph, name, later)}")
        for attribute in node.attribute:
            for body in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                _require_order(body, (made, *outside))
        made.update(name for name in node.output if name)
    for value in graph.output:
        if not any(value.name in scope for scope in (made, *outside)):
            raise ModelError(f"output '{value.name}' is made by no node")
    if len({value.name for value in graph.output}) != len(graph.output):
        raise ModelError("two outputs have one name")


def _makers(graph: onnx.GraphProto, made: set[str]) -> dict[str, int]:
    """Map each tensor to the number of the node that makes it; raises ``ModelError`` if two do."""
    makers: dict[str, int] = {}
    for index, node in enumerate(graph.node):
        if not any(node.output):
            raise ModelError(f"node '{node.name}' ({node.op_type}) has no output")
        for name in filter(None, node.output):
            if name in makers or name in made:
                raise ModelError(
                    f"tensor '{name}' is made twice, again by node '{node.name}' ({node.op_type})"
                )
            makers[name] = index
    return makers


def _why_unmade(graph: onnx.GraphProto, name: str, makers: dict[str, int]) -> str:
    if name not in makers:
        return "which nothing makes"
    start, seen, waiting = makers[name], set[int](), [makers[name]]
    while waiting:
        for read in graph.node[waiting.pop()].input:
            maker = makers.get(read, -1)
            if maker == start:
                return "which depends on itself: the graph has a cycle"
            if maker >= 0 and maker not in seen:
                seen.add(maker)
                waiting.append(maker)
    return "which is made only later: sort the nodes"
