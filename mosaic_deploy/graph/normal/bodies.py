"""If with a known condition, and Loop with a known count: written out where they stand.

    If(true)         becomes    the nodes of its then_branch
    Loop(3 times)    becomes    the nodes of its body, three times

PyTorch's exporter writes ``as_strided`` and others as loops over dimensions, of which only constants remain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mosaic_deploy.graph.facts import title
from mosaic_deploy.graph.normal.draft import Draft

if TYPE_CHECKING:
    import onnx

_TURNS = 64
"""Most turns of a loop that are written out."""

_NODES = 4096
"""Most nodes that one If or Loop may become."""


def inline(draft: Draft) -> None:
    """Write out every If and Loop that can be."""
    rules = {"If": _inline_if, "Loop": _unroll}
    draft.visit(lambda node, _: node.op_type in rules and rules[node.op_type](node, draft))


def _inline_if(node: onnx.NodeProto, draft: Draft) -> bool:
    condition = draft.array(node.input[0])
    if condition is None or condition.size != 1:
        return False
    wanted = "then_branch" if bool(condition.reshape(())) else "else_branch"
    body = next(attribute.g for attribute in node.attribute if attribute.name == wanted)
    if len(body.node) > _NODES or len(body.output) != len(node.output):
        return False
    made = _Copy(draft, title(node)).nodes(body, {}, node.output)
    return draft.replace(node, made)


def _unroll(node: onnx.NodeProto, draft: Draft) -> bool:
    """Loop(M, cond, v...) with body (i, cond, v...) -> (cond, v..., scans...)."""
    body = next(attribute.g for attribute in node.attribute if attribute.name == "body")
    count = draft.array(node.input[0]) if node.input and node.input[0] else None
    begun = draft.array(node.input[1]) if len(node.input) > 1 and node.input[1] else np.asarray(True)  # noqa: FBT003
    if count is None or count.size != 1 or begun is None or not begun.all() or not _goes_on(body, draft):
        return False
    turns, carried = int(count.reshape(())), len(node.input) - 2
    scans = len(body.output) - 1 - carried
    if not 0 < turns <= _TURNS or turns * len(body.node) > _NODES or scans or len(node.output) > carried:
        return False
    state = list(node.input[2:])
    made: list[onnx.NodeProto] = []
    for turn in range(turns):
        copy = _Copy(draft, f"{title(node)}/{turn}")
        index = draft.store(f"{title(node)}/{turn}", np.asarray(turn, np.int64))
        going = draft.store(f"{title(node)}/{turn}/going", np.asarray(True))  # noqa: FBT003
        given = dict(zip((value.name for value in body.input), (index, going, *state), strict=True))
        ends = [f"{title(node)}/{turn}/{value.name}" for value in body.output]
        if turn == turns - 1:
            ends[1 : 1 + len(node.output)] = node.output
        made.extend(copy.nodes(body, given, ends))
        state = ends[1:]
    return draft.replace(node, made)


def _goes_on(body: onnx.GraphProto, draft: Draft) -> bool:
    """Whether the body's condition only hands on what it was given, or is a constant true."""
    name = body.output[0].name
    makers = {made: node for node in body.node for made in node.output}
    while name in makers and makers[name].op_type == "Identity":
        name = makers[name].input[0]
    stored = {tensor.name for tensor in body.initializer}
    if name == body.input[1].name:
        return True
    value = None if name in stored or name in makers else draft.array(name)
    return value is not None and bool(value.all())


class _Copy:
    """The nodes of a body under names of their own."""

    def __init__(self, draft: Draft, prefix: str) -> None:
        self._draft, self._prefix = draft, prefix

    def nodes(
        self, body: onnx.GraphProto, given: Mapping[str, str], ends: Sequence[str]
    ) -> list[onnx.NodeProto]:
        """Copy a body; ``given`` names its inputs' tensors outside, ``ends`` its outputs' (empty: unread)."""
        import onnx

        names = dict(given)
        for tensor in body.initializer:
            names[tensor.name] = self._draft.store(
                f"{self._prefix}/{tensor.name}", onnx.numpy_helper.to_array(tensor)
            )
        made_here = {name for node in body.node for name in node.output if name}
        results = dict(zip((value.name for value in body.output), ends, strict=False))
        names |= {name: results.get(name) or f"{self._prefix}/{name}" for name in made_here}
        copies = [self._copy(node, lambda name: names.get(name, name)) for node in body.node]
        for value, end in zip(body.output, ends, strict=False):
            if end and names.get(value.name, value.name) != end:  # handed through, or twice an output
                source = names.get(value.name, value.name)
                copies.append(onnx.helper.make_node("Identity", [source], [end], name=f"{end}/identity"))
        return copies

    def _copy(self, node: onnx.NodeProto, name_of: Callable[[str], str]) -> onnx.NodeProto:
        copy = type(node)()
        copy.CopyFrom(node)
        copy.name = f"{self._prefix}/{title(node)}"
        _rename(copy, name_of)
        return copy


def _rename(node: onnx.NodeProto, name_of: Callable[[str], str]) -> None:
    """Rename what a node reads and makes, and what bodies in it read from outside."""
    node.input[:] = [name_of(name) if name else name for name in node.input]
    node.output[:] = [name_of(name) if name else name for name in node.output]
    for attribute in node.attribute:
        for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            _rename_outside(body, name_of)


def _rename_outside(body: onnx.GraphProto, name_of: Callable[[str], str]) -> None:
    own = {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
    own |= {name for node in body.node for name in node.output}

    def outside(name: str) -> str:
        return name if name in own else name_of(name)

    for node in body.node:
        _rename(node, outside)
    for value in body.output:
        value.name = outside(value.name)
