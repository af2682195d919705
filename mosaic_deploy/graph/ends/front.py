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

from mosaic_deploy.graph.ends.output import FLOAT, attributes, dims
from mosaic_deploy.graph.index import GraphIndex, consumers_of, free_name, prune, replace_name

if TYPE_CHECKING:
    import onnx

Triple = tuple[float, float, float]

_BYTE = 2
_TO_FIRST = (0, 3, 1, 2)
_COLOURS = 3
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
        found.factor, found.offset = np.ones(_COLOURS), np.zeros(_COLOURS)
    prune(model.graph)
    return Front(found.from_bytes, found.turned, found.swapped, _triple(found.factor), _triple(found.offset))


@final
class _Found:
    """What was taken off so far, and the search for more."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.from_bytes = self.turned = self.swapped = False
        self.factor: NDArray[np.float64] = np.ones(_COLOURS)
        self.offset: NDArray[np.float64] = np.zeros(_COLOURS)

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
        joined = _colours_joined(users, graph, image)
        return joined is not None and self._reverse(joined)

    def _turn(self, node: onnx.NodeProto, image: onnx.ValueInfoProto) -> bool:
        if node.op_type != "Transpose" or attributes(node).get("perm") != _TO_FIRST:
            return False
        if dims(image)[3] != _COLOURS or self.turned:
            return False
        self.turned = True
        sides = dims(image)
        for dim, axis in zip(image.type.tensor_type.shape.dim, _TO_FIRST, strict=True):
            dim.dim_value = sides[axis]
        return self._drop(node)

    def _swap(self, node: onnx.NodeProto, graph: GraphIndex, image: onnx.ValueInfoProto) -> bool:
        axis = _colour_axis(image)
        if node.op_type == "Gather":
            order = graph.constant(node.input[1])
            along = int(attributes(node).get("axis", 0)) % 4
            if along != axis or order is None or order.ndim != 1:
                return False
            chosen = [int(place) % _COLOURS for place in order if -_COLOURS <= place < _COLOURS]
            return chosen == [2, 1, 0] and len(order) == _COLOURS and self._reverse(node)
        if node.op_type == "Slice":
            found = _slice(node, graph, 4)
            backwards = (
                found is not None and [*found] == [axis] and _range(found[axis], _COLOURS) == [2, 1, 0]
            )
            return backwards and self._reverse(node)
        if node.op_type == "Split":
            joined = _split_joined(node, graph, axis)
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
    return len(sides) == 4 and sides[0] == 1 and _COLOURS in (sides[1], sides[3])


def _colour_axis(image: onnx.ValueInfoProto) -> int:
    return 1 if dims(image)[1] == _COLOURS else 3


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
    ones, none = np.ones(_COLOURS), np.zeros(_COLOURS)
    with np.errstate(all="ignore"):
        return {
            "Add": (ones, numbers),
            "Sub": (ones, -numbers),
            "Mul": (numbers, none),
            "Div": (1 / numbers, none),
        }[node.op_type]


def _per_colour(held: NDArray[Any], image: onnx.ValueInfoProto) -> NDArray[np.float64] | None:
    axis = _colour_axis(image)
    sides = (1,) * (4 - held.ndim) + held.shape
    if len(sides) != 4 or any(side != 1 for place, side in enumerate(sides) if place != axis):
        return None
    if sides[axis] not in (1, _COLOURS):
        return None
    return np.broadcast_to(held.reshape(-1).astype(np.float64), (_COLOURS,))


def _affine_of_convolution(
    node: onnx.NodeProto, graph: GraphIndex, image: onnx.ValueInfoProto
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Of a 1x1 convolution of each colour by itself, as a leading BatchNormalization is written."""
    stated = attributes(node)
    weight = graph.constant(node.input[1])
    same = graph.shape(node.output[0]) == dims(image)
    if weight is None or weight.shape != (_COLOURS, 1, 1, 1) or stated.get("group") != _COLOURS or not same:
        return None
    if any(stated.get("pads", ())) or stated.get("auto_pad", "NOTSET") != "NOTSET":
        return None
    bias = graph.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros(_COLOURS)
    if bias is None or bias.shape != (_COLOURS,):
        return None
    return weight.reshape(-1).astype(np.float64), bias.astype(np.float64)


def _colours_joined(
    users: tuple[onnx.NodeProto, ...], graph: GraphIndex, image: onnx.ValueInfoProto
) -> onnx.NodeProto | None:
    """The Concat that puts three slices of one colour each into the opposite order."""
    axis = _colour_axis(image)
    places = {}
    for node in users:
        found = _slice(node, graph, 4) if node.op_type == "Slice" else None
        chosen = _range(found[axis], _COLOURS) if found is not None and [*found] == [axis] else []
        if len(chosen) != 1 or graph.only_consumer(node.output[0]) is None:
            return None
        places[node.output[0]] = chosen[0]
    return _joins(places, graph, axis)


def _split_joined(node: onnx.NodeProto, graph: GraphIndex, axis: int) -> onnx.NodeProto | None:
    along = int(attributes(node).get("axis", 0)) % 4
    if along != axis or len(node.output) != _COLOURS:
        return None
    if any(graph.only_consumer(name) is None for name in node.output):
        return None
    return _joins({name: place for place, name in enumerate(node.output)}, graph, axis)


def _joins(places: dict[str, int], graph: GraphIndex, axis: int) -> onnx.NodeProto | None:
    joined = graph.only_consumer(next(iter(places), ""))
    if (
        joined is None
        or joined.op_type != "Concat"
        or [places.get(name) for name in joined.input] != [2, 1, 0]
    ):
        return None
    return joined if int(attributes(joined).get("axis", 0)) % 4 == axis else None


def _slice(node: onnx.NodeProto, graph: GraphIndex, rank: int) -> dict[int, tuple[int, int, int]] | None:
    """Start, end and step by axis; None where they are not constant."""
    numbers = [graph.constant(name) if name else None for name in node.input[1:5]]
    if len(numbers) < 2 or numbers[0] is None or numbers[1] is None:
        return None
    if any(name and held is None for name, held in zip(node.input[1:5], numbers, strict=True)):
        return None
    count = numbers[0].size
    axes = numbers[2] if len(numbers) > 2 and numbers[2] is not None else np.arange(count)
    steps = numbers[3] if len(numbers) > 3 and numbers[3] is not None else np.ones(count, int)
    whole = zip(axes.flat, numbers[0].flat, numbers[1].flat, steps.flat, strict=False)
    return {int(axis) % rank: (int(start), int(end), int(step)) for axis, start, end, step in whole}


def _backwards(part: tuple[int, int, int]) -> bool:
    return _range(part, _COLOURS) == [2, 1, 0]


def _range(part: tuple[int, int, int], length: int) -> list[int]:
    start, end, step = part
    if not step:
        return []
    if step < 0 and end < -length:  # before the first
        return list(range(length))[start::step]
    return list(range(length))[start:end:step]


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
    first = _colour_axis(image) == 1
    shape = (_COLOURS, 1, 1, 1) if first else (_COLOURS,)
    graph.initializer.append(numpy_helper.from_array(np.array(factor, np.float32).reshape(shape), weight))
    graph.initializer.append(numpy_helper.from_array(np.array(offset, np.float32), bias))
    name = free_name(graph, "normalise")
    names = [result]
    if first:
        kernel: dict[str, Any] = {"group": _COLOURS, "kernel_shape": [1, 1]}
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
