"""A graph while it is being normalised: its nodes in order, what is known of its tensors, and edits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.facts import title
from mosaic_deploy.graph.index import GraphIndex, prune, replace_name
from mosaic_deploy.graph.odd import ODD
from mosaic_deploy.graph.reader.names import graphs

if TYPE_CHECKING:
    import onnx

Value = NDArray[Any] | list[Any]
"""A constant: an array, or a sequence of arrays, which only other constants are computed from."""


_BUDGET = 1 << 26
"""Elements that one sweep may read and make while it computes constants."""


@final
class Draft:
    """One sweep over a model that ``read_model`` returned.

    Facts are of the graph as the sweep found it; edits are collected and take effect in ``model``. A node
    that was edited is left alone until the next sweep.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.source = model
        self.graph = GraphIndex(model)
        self.opset = self.graph.opset
        self._values: dict[str, Value | None] = {}
        self._renamed: dict[str, str] = {}
        self._instead: dict[str, list[onnx.NodeProto]] = {}
        self._stored: dict[str, NDArray[Any]] = {}
        self._free = 0
        self._budget = _BUDGET

    @property
    def edited(self) -> bool:
        """Whether anything is to change: an edit, or a node that leads nowhere."""
        return bool(self._instead or self._renamed or self._stored) or self._has_dead_ends()

    def _has_dead_ends(self) -> bool:
        graph = self.graph
        return any(
            not any(name and (graph.consumers(name) or name in graph.protected) for name in node.output)
            for node in self.source.graph.node
        )

    @property
    def nodes(self) -> Iterable[onnx.NodeProto]:
        """The main graph's nodes of ONNX's own domain that no edit has touched yet, in order."""
        for node in self.source.graph.node:
            if not self.touched(node) and node.domain in ("", "ai.onnx"):
                yield node

    def visit(self, rule: Callable[[onnx.NodeProto, Draft], object]) -> None:
        """Offer every such node to a rule, which walks away from what it does not expect."""
        for node in self.nodes:
            with suppress(*ODD), np.errstate(all="ignore"):
                rule(node, self)

    def touched(self, node: onnx.NodeProto) -> bool:
        """Whether an edit replaces the node."""
        return _key(node) in self._instead

    def value(self, name: str) -> Value | None:
        """Return the value of a constant, those found in this sweep included; else None."""
        if name not in self._values:
            self._values[name] = self.graph.constant(name)
        return self._values[name]

    def array(self, name: str) -> NDArray[Any] | None:
        """Return the value of a constant that is one array; else None."""
        value = self.value(name)
        return value if isinstance(value, np.ndarray) else None

    def know(self, name: str, value: Value) -> None:
        """Note the value of a tensor that turned out constant; it becomes an initialiser."""
        self._values[name] = value
        if isinstance(value, np.ndarray):
            self._stored[name] = value

    def spend(self, elements: int) -> bool:
        """Take a computation's cost from the sweep's budget; False where that is used up."""
        self._budget -= elements
        return self._budget >= 0

    def remove(self, node: onnx.NodeProto) -> None:
        """Drop a node whose outputs are constants now."""
        self._instead[_key(node)] = []

    def forward(self, node: onnx.NodeProto, name: str) -> bool:
        """Drop a node whose first output is the tensor ``name``; its readers read that.

        An output of the graph keeps its name: then the node stays, as an Identity.
        """
        import onnx

        old = node.output[0]
        if old in self.graph.protected:
            if node.op_type == "Identity":
                return self._hand_over(node, name)
            self._instead[_key(node)] = [onnx.helper.make_node("Identity", [name], [old], name=title(node))]
            return True
        self._instead[_key(node)] = []
        self._renamed[old] = name
        return True

    def _hand_over(self, node: onnx.NodeProto, name: str) -> bool:
        """Let the maker of an Identity's input make its output instead, where nobody else reads the input."""
        maker = self.graph.producer(name)
        if maker is None or self.touched(maker) or self.graph.only_consumer(name) is None:
            return False
        made = _copy(maker)
        replace_name(made.output, name, node.output[0])
        return self.replace(maker, [made], node)

    def replace(self, node: onnx.NodeProto, made: Sequence[onnx.NodeProto], *also: onnx.NodeProto) -> bool:
        """Put nodes in a node's place, where ``also`` are superfluous with it."""
        for other in also:
            self._instead[_key(other)] = []
        self._instead[_key(node)] = list(made)
        return True

    def store(self, near: str, array: NDArray[Any]) -> str:
        """Keep a new constant; returns its name, which begins like ``near``."""
        while True:
            self._free += 1
            name = f"{near}/normal_{self._free}"
            if not self.graph.knows(name) and name not in self._stored:
                self._stored[name] = array
                return name

    def carry_out(self, *, copy: bool) -> onnx.ModelProto:
        """Carry the edits out, on a copy or on the model itself; shapes of new tensors are then not known."""
        import onnx

        fresh = self.source
        if copy:
            fresh = onnx.ModelProto()
            fresh.CopyFrom(self.source)
        graph = fresh.graph
        kept = [_copy(made) for node in graph.node for made in self._instead.get(_key(node), [node])]
        for node in kept:
            for body in _bodies(node):
                self._rewire(body)
        del graph.node[:]
        graph.node.extend(kept)
        self._rewire(graph)
        made = {name for node in graph.node for name in node.output}
        graph.initializer.extend(
            onnx.numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
            for name, array in self._stored.items()
            if name not in made
        )
        prune(graph)
        return fresh

    def _rewire(self, graph: onnx.GraphProto) -> None:
        for node in graph.node:
            for name in tuple(node.input):
                if name in self._renamed:
                    replace_name(node.input, name, self._end(name))

    def _end(self, name: str) -> str:
        while name in self._renamed:
            name = self._renamed[name]
        return name


def _key(node: onnx.NodeProto) -> str:
    return str(next(filter(None, node.output)))


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = type(node)()
    copy.CopyFrom(node)
    return copy


def _bodies(node: onnx.NodeProto) -> Iterable[onnx.GraphProto]:
    for attribute in node.attribute:
        for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            yield from (graph for graph, _ in graphs(body))
