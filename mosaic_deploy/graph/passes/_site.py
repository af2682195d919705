"""Where a pass works: one node, what the graph knows around it, and the nodes that are to replace it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.index import GraphIndex

if TYPE_CHECKING:
    import onnx

Attribute = int | float | str | Sequence[int]
Shape = tuple[int, ...]


@final
class Site:
    """A node, asked about by position of its inputs, and a draft of its replacement.

    The draft names its nodes and tensors after the node. It ends with ``replace_with``, which hands the
    node's outputs over; until then nothing is decided, and a pass may walk away.
    """

    def __init__(self, node: onnx.NodeProto, graph: GraphIndex) -> None:
        self.node = node
        self.graph = graph
        self.made: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.given: tuple[str, ...] = ()
        self.covered: list[onnx.NodeProto] = [node]
        self.opset = 0
        self._names: set[str] = set()

    @property
    def x(self) -> str:
        """Name of the first input."""
        return self.input(0)

    def input(self, index: int) -> str:
        """Name of an input; empty where it is left out."""
        return str(self.node.input[index]) if index < len(self.node.input) else ""

    def shape(self, index: int = 0) -> Shape | None:
        """Shape of an input; None if unknown."""
        return self.graph.shape(self.input(index))

    @property
    def out_shape(self) -> Shape | None:
        """Shape of the first output; None if unknown."""
        return self.graph.shape(self.node.output[0])

    def constant(self, index: int) -> NDArray[Any] | None:
        """Value of an input that is a constant, else None."""
        return self.graph.constant(self.input(index))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the first input; float32 where nothing is known."""
        return self.graph.dtype(self.x) or np.dtype(np.float32)

    @property
    def floating(self) -> bool:
        """Whether the first input is known to be of a floating type."""
        dtype = self.graph.dtype(self.x)
        return dtype is not None and bool(np.issubdtype(dtype, np.floating))

    def attr_int(self, name: str, default: int) -> int:
        """Read an attribute that is an integer."""
        return next((int(a.i) for a in self.node.attribute if a.name == name), default)

    def attr_float(self, name: str, default: float) -> float:
        """Read an attribute that is a float."""
        return next((float(a.f) for a in self.node.attribute if a.name == name), default)

    def attr_str(self, name: str, default: str) -> str:
        """Read an attribute that is text."""
        found = (a.s.decode("utf-8", "replace") for a in self.node.attribute if a.name == name)
        return next(found, default)

    def attr_ints(self, name: str, default: Sequence[int] = ()) -> Shape:
        """Read an attribute that is a list of integers."""
        return next((tuple(a.ints) for a in self.node.attribute if a.name == name), tuple(default))

    def also_replaces(self, *nodes: onnx.NodeProto) -> None:
        """Say which other nodes the replacement makes superfluous."""
        self.covered.extend(nodes)

    def op(self, kind: str, *inputs: str, **attributes: Attribute) -> str:
        """Draft a node of one output; returns the output's name."""
        import onnx

        name = self._free(kind.lower())
        node = onnx.helper.make_node(kind, list(inputs), [name], name=name)
        node.attribute.extend(onnx.helper.make_attribute(key, value) for key, value in attributes.items())
        self.made.append(node)
        return name

    def split(self, x: str, sizes: Sequence[int], *, axis: int) -> tuple[str, ...]:
        """Draft a Split into parts of these sizes."""
        import onnx

        name = self._free("split")
        parts = [f"{name}_{index}" for index in range(len(sizes))]
        if self.graph.opset >= 13:
            node = onnx.helper.make_node("Split", [x, self.sizes(sizes)], parts, name=name, axis=axis)
        else:
            node = onnx.helper.make_node("Split", [x], parts, name=name, axis=axis, split=sizes)
        self.made.append(node)
        return tuple(parts)

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """Draft a Reshape; drafts nothing where the shape is that already."""
        return x if self.graph.shape(x) == tuple(shape) else self.op("Reshape", x, self.sizes(shape))

    def transpose(self, x: str, perm: Sequence[int]) -> str:
        """Draft a Transpose; drafts nothing for the identity."""
        return x if list(perm) == list(range(len(perm))) else self.op("Transpose", x, perm=list(perm))

    def slice(self, x: str, start: int, end: int, *, axis: int, step: int = 1) -> str:
        """Draft a Slice along one axis."""
        bounds = [self.sizes([number]) for number in (start, end, axis, step)]
        return self.op("Slice", x, *bounds)

    def reduce(self, kind: str, x: str, axes: Sequence[int], *, keep: Literal[0, 1] = 1) -> str:
        """Draft a reduction, its axes where the model's opset has them."""
        since = 13 if kind == "ReduceSum" else 18
        if self.graph.opset >= since:
            return self.op(kind, x, self.sizes(axes), keepdims=keep)
        return self.op(kind, x, axes=list(axes), keepdims=keep)

    def number(self, value: float) -> str:
        """Draft a scalar constant of the first input's type."""
        return self.const(np.asarray(value, self.dtype))

    def sizes(self, values: Sequence[int]) -> str:
        """Draft a constant list of 64-bit integers."""
        return self.const(np.asarray(values, np.int64))

    def const(self, array: NDArray[Any]) -> str:
        """Draft an initialiser."""
        import onnx

        name = self._free("constant")
        self.constants.append(
            onnx.numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        )
        return name

    def replace_with(self, *results: str) -> bool:
        """End the draft: the node's outputs, in order, become these tensors."""
        self.given = results
        return True

    def require_opset(self, opset: int) -> bool:
        """Ask for a later opset; returns False where the model cannot have it."""
        if not self.graph.supports_opset(opset):
            return False
        self.opset = max(self.opset, opset)
        return True

    def _free(self, word: str) -> str:
        stem = f"{self.graph.stem(self.node)}/{word}"
        name, number = stem, 0
        while name in self._names or self.graph.knows(name):
            number += 1
            name = f"{stem}_{number}"
        self._names.add(name)
        return name
