"""A graph's output while it is brought into its form: where it comes from, and what it is stated to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.attributes import read_attribute
from mosaic_deploy.graph.index import GraphIndex, free_name, prune

if TYPE_CHECKING:
    import onnx

Move = tuple[Literal["transpose", "reshape"], tuple[int, ...]]
"""One step from the file's output to the graph's: an order of axes, or a shape."""

FLOAT, INT32, INT64 = 1, 6, 7
"""TensorProto's numbers."""
_TO_LAST = {3: (1, 2, 0), 4: (0, 2, 3, 1)}


@dataclass(frozen=True, slots=True)
class Back:
    """What the graph gives, and how the file's output becomes that."""

    ids: bool = False
    """The graph gives (1, h, w) int32 class ids; else scores."""
    moves: tuple[Move, ...] = ()
    threshold: float | None = None
    """Where a pixel has one score, the foreground's: above this it is foreground. Of ids: what made them."""

    def restore(self, output: NDArray[Any]) -> NDArray[Any]:
        """Give the file's output the form of the graph's, ids as int32; raises ``ValueError``."""
        for kind, order in self.moves:
            output = output.transpose(order) if kind == "transpose" else output.reshape(order)
        return output.astype(np.int32) if self.ids else output


def source(graph: GraphIndex, name: str, axis: int | None) -> tuple[str, int | None]:
    """Back through what only moves scores (1, C, h, w); where the class axis was there."""
    while (node := graph.producer(name)) is not None:
        if node.op_type == "Transpose":
            order = attributes(node).get("perm")
            if order is None or order != _TO_LAST.get(len(order)):
                break
            axis = None if axis is None else order[axis]
        elif node.op_type in ("Squeeze", "Unsqueeze", "Reshape"):
            before, after = graph.shape(node.input[0]), graph.shape(node.output[0])
            if before is None or after is None or _full(before) != _full(after) or before[:1] != (1,):
                break
            if len(before) != len(after) + 1 or before[1:] != after:
                break
            axis = None if axis is None else axis + 1
        elif node.op_type != "Identity":
            break
        name = node.input[0]
    return name, axis


def _full(shape: Sequence[int]) -> list[int]:
    return [side for side in shape if side != 1]


def reshape_output(model: onnx.ModelProto, shape: tuple[int, ...]) -> None:
    """Give the output another shape with as many elements."""
    from onnx import helper, numpy_helper

    graph = model.graph
    output, kind = graph.output[0].name, graph.output[0].type.tensor_type.elem_type
    inner = _put_before(graph, output, "reshaped_from")
    size = free_name(graph, f"{output}_shape")
    graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), size))
    graph.node.append(helper.make_node("Reshape", [inner, size], [output], free_name(graph, "as_image")))
    state(model, kind, shape)


def cast_output(model: onnx.ModelProto) -> None:
    """Make the output int32."""
    from onnx import helper

    graph = model.graph
    output = graph.output[0].name
    shape = dims(graph.output[0])
    inner = _put_before(graph, output, "cast_from")
    graph.node.append(helper.make_node("Cast", [inner], [output], free_name(graph, "as_int32"), to=INT32))
    state(model, INT32, shape)


def _put_before(graph: onnx.GraphProto, output: str, what: str) -> str:
    """Rename the output's tensor, noted with its shape; returns its new name."""
    inner = free_name(graph, f"{output}_{what}")
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == output:
                    names[place] = inner
    noted = graph.value_info.add()
    noted.CopyFrom(graph.output[0])
    noted.name = inner
    return inner


def state(model: onnx.ModelProto, kind: int, shape: Sequence[int]) -> None:
    """Say what the graph's output is now, and drop what does not lead to it."""
    from onnx import helper

    graph = model.graph
    name = graph.output[0].name
    kept = [value for value in graph.value_info if value.name != name]
    del graph.value_info[:], graph.output[:]
    graph.value_info.extend(kept)
    graph.output.append(helper.make_tensor_value_info(name, kind, list(shape)))
    prune(graph)


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes that are stated."""
    return {entry.name: read_attribute(entry) for entry in node.attribute}


def dims(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """A tensor's shape, 0 for what is not known."""
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
