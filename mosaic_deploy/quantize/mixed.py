"""Which activations of a network are in 16 bits while the others are in 8.

An operator computes in one precision. So a tensor of 16 bits takes the operators on both its sides with it,
and where such an island ends its values are converted:

    x (8) -> [8 to 16] -> Conv -> t (16) -> Conv -> y (16) -> [16 to 8] -> the rest

What is converted down is rounded there: of y only t's side gains. Data that an operator merely moves keeps
its grid, so what it gives goes with what it takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np

from mosaic_deploy.graph.index import GraphIndex, consumers_of, producer_of, replace_name
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import onnx

MOVES = frozenset(
    {
        "AveragePool", "DepthToSpace", "Expand", "Flatten", "Gather", "GlobalMaxPool", "Identity", "MaxPool",
        "Pad", "Reshape", "Resize", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "TopK", "Transpose",
        "Unsqueeze",
    }
)  # fmt: skip
"""Operators whose output has the grid of their input."""
CLIPS = ("Relu", "Clip")
Finer = Literal["16 bits", "float"]
"""What activations are in that 8 bits do not do for."""


@dataclass(frozen=True, slots=True)
class Mixed:
    """What differs from the recipe: nothing, unless stated."""

    lifted: tuple[str, ...] = ()
    """Tensors of the prepared graph whose values are in 16 bits, or floats where the target has no such."""
    spans: tuple[tuple[float, float], ...] = ()
    """Smallest and largest value of each on the calibration images: by these a tensor is found again in a
    file whose converter has names of its own."""

    def to_json(self) -> JsonObject:
        """For a child process, and to be kept."""
        return {"lifted": list(self.lifted), "spans": [list(span) for span in self.spans]}

    @classmethod
    def from_json(cls, record: Mapping[str, Any] | None) -> Mixed:
        """What ``to_json`` gave; nothing for None."""
        stated = record or {}
        return cls(
            tuple(stated.get("lifted", ())), tuple((low, high) for low, high in stated.get("spans", ()))
        )


@dataclass(frozen=True, slots=True)
class Island:
    """Precision of every tensor and operator that a choice of tensors comes to."""

    sixteen: frozenset[str]
    """Tensors that come out of their operators in 16 bits."""
    up: Mapping[str, tuple[str, ...]]
    """Tensor of 8 bits -> the nodes that get it converted to 16."""
    down: Mapping[str, tuple[str, ...]]
    """Tensor of 16 bits -> the nodes that get it converted to 8."""
    nodes: frozenset[str]
    """Names of the operators that compute in 16 bits."""

    @property
    def conversions(self) -> int:
        """How many tensors are converted."""
        return len(self.up) + len(self.down)


def island(model: onnx.ModelProto, chosen: Iterable[str]) -> Island:
    """Follow a choice of tensors to the operators around them, and to where values must be converted.

    Args:
        model: a float graph whose nodes have names of their own and whose shapes are inferred.
        chosen: names of tensors that nodes make; others are passed over.
    """
    graph = _Graph(model)
    wanted = graph.with_what_moves(name for name in chosen if name in graph.makers)
    lifted = {graph.makers[name].name for name in wanted}
    lifted |= {node.name for name in wanted for node in graph.readers(name)}
    sixteen = frozenset(
        name
        for node in model.graph.node
        if node.name in lifted
        for name in node.output
        if graph.is_value(name)
    )
    up: dict[str, tuple[str, ...]] = {}
    down: dict[str, tuple[str, ...]] = {}
    for name in graph.values():
        names = [node.name for node in graph.readers(name)]
        within = tuple(reader for reader in names if reader in lifted)
        without = tuple(reader for reader in names if reader not in lifted)
        if name in sixteen and without:
            down[name] = without
        elif name not in sixteen and within:
            up[name] = within
    return Island(sixteen, up, down, frozenset(lifted))


def without_clips(model: onnx.ModelProto) -> None:
    """Turn  x -> Relu -> y  into  y,  where y's own grid clips: as ONNX Runtime's quantiser does by itself.

    It would not do so where y is converted, and then x would get half a grid. What an operator merely moves
    keeps the grid that it has, which does not clip.
    """
    graph = model.graph
    ends = {value.name for value in graph.output}
    for node in [n for n in graph.node if n.op_type in CLIPS]:
        maker = producer_of(graph, node.input[0])
        if maker is None or node.input[0] in ends or len(consumers_of(graph, node.input[0])) != 1:
            continue
        if maker.op_type in MOVES:
            continue
        replace_name(maker.output, node.input[0], node.output[0])
        graph.node.remove(node)


def in_float(model: onnx.ModelProto, chosen: Iterable[str]) -> tuple[str, ...]:
    """Names of the nodes that compute in floats where chosen tensors are floats; arguments as ``island``."""
    import onnx

    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    without_clips(plain)
    nodes = island(plain, chosen).nodes
    makers = {name: node.name for node in model.graph.node for name in node.output}
    clips = {
        node.name for node in model.graph.node if node.op_type in CLIPS and makers.get(node.input[0]) in nodes
    }  # which is a part of its maker's grid only where that is quantised
    return tuple(sorted(nodes | clips))


@final
class _Graph:
    """Who makes and reads the float values of a graph."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._index = GraphIndex(model)
        self._model = model
        self.makers = {name: node for node in model.graph.node for name in node.output if name}
        self._images = {value.name for value in model.graph.input}

    def readers(self, name: str) -> tuple[onnx.NodeProto, ...]:
        return self._index.consumers(name)

    def is_value(self, name: str) -> bool:
        """Whether it is made when the network runs, and of floats as far as is known."""
        made = name in self.makers or name in self._images
        return bool(name) and made and self._index.dtype(name) in (None, np.float32)

    def values(self) -> list[str]:
        """Every such tensor."""
        names = dict.fromkeys(n for node in self._model.graph.node for n in (*node.input, *node.output))
        return [name for name in names if self.is_value(name)]

    def with_what_moves(self, names: Iterable[str]) -> set[str]:
        """Add what has the same grid, before and behind."""
        found = set(names)
        todo = list(found)
        while todo:
            name = todo.pop()
            reached = [out for node in self.readers(name) if node.op_type in MOVES for out in node.output]
            maker = self.makers[name]
            if maker.op_type in MOVES and maker.input[0] in self.makers:
                reached.append(maker.input[0])
            fresh = [other for other in reached if other not in found and self.is_value(other)]
            found.update(fresh)
            todo += fresh
        return found
