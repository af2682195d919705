"""What a graph does to its image before the network proper, taken off where a contract can say it instead.

    image (uint8, NHWC) -> Cast -> Transpose -> Sub mean -> Div scale -> Conv

becomes

    image (float32, NCHW, normalised) -> Conv

and ``Front`` says what was taken off. Taken off are a Cast from bytes, a Transpose of the layout, colours
swapped by Gather, Slice or Split and Concat, and arithmetic with a positive factor per colour. Bytes that
are moved about before they are cast are cast at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.ends.colours import (
    COLOURS,
    backwards,
    colour_axis,
    joined_slices,
    joined_split,
    sliced,
)
from mosaic_deploy.graph.ends.output import FLOAT, attributes, dims
from mosaic_deploy.graph.index import GraphIndex, consumers_of, free_name, prune, replace_name

if TYPE_CHECKING:
    import onnx

Triple = tuple[float, float, float]

_BYTE = 2
_TO_FIRST = (0, 3, 1, 2)
_MOVING = frozenset(
    {"Concat", "DepthToSpace", "Flatten", "Gather", "Identity", "MaxPool", "Reshape", "Slice"}
    | {"SpaceToDepth", "Split", "Squeeze", "Transpose", "Unsqueeze"}
)
"""Operators that give some of their input's numbers as they are, so that a Cast may come before them."""


@dataclass(frozen=True, slots=True)
class Front:
    """What was taken off between the file's image and the graph's input.

    The graph's input is ``factor * pixel + offset`` per colour, in the graph's order of colours, where
    ``pixel`` is what the file takes.
    """

    from_bytes: bool = False
    """The file takes uint8, the graph float32."""
    turned: bool = False
    """The file takes NHWC, the graph NCHW."""
    swapped: bool = False
    """The graph's colours come in the opposite order of the file's."""
    factor: Triple = (1.0, 1.0, 1.0)
    offset: Triple = (0.0, 0.0, 0.0)


def settle_front(model: onnx.ModelProto) -> Front:
    """Take off what ``Front`` can say, in the model itself, which has one input, shapes inferred.

    Arithmetic on bytes that differs per colour is not taken off, but written as one convolution: whoever
    feeds bytes wants to go on feeding bytes.
    """
    if len(model.graph.input) != 1 or not _is_image(model.graph.input[0]):
        return Front()
    found = _Found(model)
    found.from_bytes = _cast_at_once(model)
    while found.step():
        pass
    if found.from_bytes and not found.uniform:
        write_arithmetic(model, _triple(found.factor), _triple(found.offset))
        found.factor, found.offset = np.ones(COLOURS), np.zeros(COLOURS)
    prune(model.graph)
    return Front(found.from_bytes, found.turned, found.swapped, _triple(found.factor), _triple(found.offset))


@final
class _Found:
    """What was taken off so far, and the search for more."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.from_bytes = self.turned = self.swapped = False
        self.factor: NDArray[np.float64] = np.ones(COLOURS)
        self.offset: NDArray[np.float64] = np.zeros(COLOURS)

    @property
    def uniform(self) -> bool:
        """Whether the arithmetic is the same for all colours."""
        return len({*self.factor}) == 1 and len({*self.offset}) == 1

    def step(self) -> bool:
        """Take off what the image goes into first; False where that is nothing that can be."""
        graph = GraphIndex(self.model)
        image = self.model.graph.input[0]
        if image.name in graph.protected:
            return False
        users = graph.consumers(image.name)
        if len(users) == 1:
            (node,) = users
            return (
                self._turn(node, image)
                or self._swap(node, graph, image)
                or self._calculate(node, graph, image)
            )
        joined = joined_slices(users, graph, image)
        return joined is not None and self._reverse(joined)

    def _turn(self, node: onnx.NodeProto, image: onnx.ValueInfoProto) -> bool:
        if node.op_type != "Transpose" or attributes(node).get("perm") != _TO_FIRST:
            return False
        if dims(image)[3] != COLOURS or self.turned:
            return False
        self.turned = True
        sides = dims(image)
        for dim, axis in zip(image.type.tensor_type.shape.dim, _TO_FIRST, strict=True):
            dim.dim_value = sides[axis]
        return self._drop(node)

    def _swap(self, node: onnx.NodeProto, graph: GraphIndex, image: onnx.ValueInfoProto) -> bool:
        axis = colour_axis(image)
        if node.op_type == "Gather":
            order = graph.constant(node.input[1])
            along = int(attributes(node).get("axis", 0)) % 4
            if along != axis or order is None or order.ndim != 1:
                return False
            chosen = [int(place) % COLOURS for place in order if -COLOURS <= place < COLOURS]
            return chosen == [2, 1, 0] and len(order) == COLOURS and self._reverse(node)
        if node.op_type == "Slice":
            found = sliced(node, graph, 4)
            if found is None or [*found] != [axis] or not backwards(found[axis]):
                return False
            return self._reverse(node)
        if node.op_type == "Split":
            joined = joined_split(node, graph, axis)
            return joined is not None and self._reverse(joined)
        return False

    def _reverse(self, node: onnx.NodeProto) -> bool:
        self.swapped = not self.swapped
        self.factor, self.offset = self.factor[::-1], self.offset[::-1]
        return self._drop(node)

    def _calculate(self, node: onnx.NodeProto, graph: GraphIndex, image: onnx.ValueInfoProto) -> bool:
        if image.type.tensor_type.elem_type != FLOAT:
            return False
        found = _affine(node, graph, image)
        if found is None:
            return False
        factor, offset = found
        if not (np.isfinite(factor).all() and np.isfinite(offset).all() and (factor > 0).all()):
            return False
        self.factor, self.offset = self.factor * factor, self.offset * factor + offset
        return self._drop(node)

    def _drop(self, node: onnx.NodeProto) -> bool:
        """Let the image stand for the node's output, which nothing but nodes reads."""
        graph = self.model.graph
        image, output = graph.input[0], node.output[0]
        if any(value.name == output for value in graph.output):
            return False
        for reader in graph.node:
            replace_name(reader.input, output, image.name)
        graph.node.remove(node)
        prune(graph)
        return True


def _is_image(image: onnx.ValueInfoProto) -> bool:
    sides = dims(image)
    return len(sides) == 4 and sides[0] == 1 and COLOURS in (sides[1], sides[3])


def _cast_at_once(model: onnx.ModelProto) -> bool:
    """Make an image of bytes one of floats, where every path from it moves numbers and then casts them."""
    graph = model.graph
    image = graph.input[0]
    if image.type.tensor_type.elem_type != _BYTE:
        return False
    index = GraphIndex(model)
    reached, casts = {image.name}, []
    for node in graph.node:
        read = reached.intersection(node.input)
        if not read:
            continue
        if node.op_type == "Cast" and attributes(node).get("to") == FLOAT:
            casts.append(node)
        elif node.op_type in _MOVING and node.input[0] in reached and _moves(node, reached):
            reached.update(node.output)
        else:
            return False
    if not casts or reached & index.protected or any(cast.output[0] in index.protected for cast in casts):
        return False
    for cast in casts:
        for node in graph.node:
            replace_name(node.input, cast.output[0], cast.input[0])
        graph.node.remove(cast)
    for value in (image, *(v for v in graph.value_info if v.name in reached)):
        value.type.tensor_type.elem_type = FLOAT
    return True


def _moves(node: onnx.NodeProto, reached: set[str]) -> bool:
    """Whether all that it moves comes from the image, and that alone is moved."""
    if node.op_type == "Concat":
        return all(name in reached for name in node.input)
    return not reached.intersection(node.input[1:]) and (len(node.output) == 1 or node.op_type == "Split")


def _affine(
    node: onnx.NodeProto, graph: GraphIndex, image: onnx.ValueInfoProto
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Factor and offset per colour of a node that does nothing else."""
    if node.op_type == "Conv":
        return _affine_of_convolution(node, graph, image)
    if node.op_type not in ("Sub", "Add", "Mul", "Div") or len(node.input) != 2:
        return None
    left = node.input[0] == image.name
    held = graph.constant(node.input[1] if left else node.input[0])
    if held is None or held.dtype.kind != "f" or (not left and node.op_type in ("Sub", "Div")):
        return None
    numbers = _per_colour(held, image)
    if numbers is None:
        return None
    ones, none = np.ones(COLOURS), np.zeros(COLOURS)
    with np.errstate(all="ignore"):
        return {
            "Add": (ones, numbers),
            "Sub": (ones, -numbers),
            "Mul": (numbers, none),
            "Div": (1 / numbers, none),
        }[node.op_type]


def _per_colour(held: NDArray[Any], image: onnx.ValueInfoProto) -> NDArray[np.float64] | None:
    axis = colour_axis(image)
    sides = (1,) * (4 - held.ndim) + held.shape
    if len(sides) != 4 or any(side != 1 for place, side in enumerate(sides) if place != axis):
        return None
    if sides[axis] not in (1, COLOURS):
        return None
    return np.broadcast_to(held.reshape(-1).astype(np.float64), (COLOURS,))


def _affine_of_convolution(
    node: onnx.NodeProto, graph: GraphIndex, image: onnx.ValueInfoProto
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Of a 1x1 convolution of each colour by itself, as a leading BatchNormalization is written."""
    stated = attributes(node)
    weight = graph.constant(node.input[1])
    same = graph.shape(node.output[0]) == dims(image)
    if weight is None or weight.shape != (COLOURS, 1, 1, 1) or stated.get("group") != COLOURS or not same:
        return None
    if any(stated.get("pads", ())) or stated.get("auto_pad", "NOTSET") != "NOTSET":
        return None
    bias = graph.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros(COLOURS)
    if bias is None or bias.shape != (COLOURS,):
        return None
    return weight.reshape(-1).astype(np.float64), bias.astype(np.float64)


def write_arithmetic(model: onnx.ModelProto, factor: Triple, offset: Triple) -> None:
    """Let the graph take pixels, and compute factor * pixel + offset by a 1x1 convolution of each colour.

    Where colours come last, as a Mul and an Add.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    image = graph.input[0]
    result = free_name(graph, f"{image.name}_normalised")
    for node in consumers_of(graph, image.name):
        replace_name(node.input, image.name, result)
    weight, bias = free_name(graph, f"{result}_scale"), free_name(graph, f"{result}_offset")
    first = colour_axis(image) == 1
    shape = (COLOURS, 1, 1, 1) if first else (COLOURS,)
    graph.initializer.append(numpy_helper.from_array(np.array(factor, np.float32).reshape(shape), weight))
    graph.initializer.append(numpy_helper.from_array(np.array(offset, np.float32), bias))
    name = free_name(graph, "normalise")
    names = [result]
    if first:
        kernel: dict[str, Any] = {"group": COLOURS, "kernel_shape": [1, 1]}
        made = [helper.make_node("Conv", [image.name, weight, bias], [result], name, **kernel)]
    else:
        names.append(free_name(graph, f"{result}_scaled"))
        made = [
            helper.make_node("Mul", [image.name, weight], [names[1]], f"{name}_scale"),
            helper.make_node("Add", [names[1], bias], [result], f"{name}_offset"),
        ]
    for node in reversed(made):
        graph.node.insert(0, node)
    graph.value_info.extend(helper.make_tensor_value_info(each, FLOAT, dims(image)) for each in names)


def _triple(numbers: NDArray[np.float64]) -> Triple:
    return float(numbers[0]), float(numbers[1]), float(numbers[2])
