"""Colours of an image taken apart and joined in the opposite order: RGB as BGR."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_deploy.graph.ends.output import attributes, dims
from mosaic_deploy.graph.index import GraphIndex

if TYPE_CHECKING:
    import onnx

COLOURS = 3


def colour_axis(image: onnx.ValueInfoProto) -> int:
    """1 or 3: where an image's colours are."""
    return 1 if dims(image)[1] == COLOURS else 3


def joined_slices(
    users: tuple[onnx.NodeProto, ...], graph: GraphIndex, image: onnx.ValueInfoProto
) -> onnx.NodeProto | None:
    """The Concat that puts three slices of one colour each into the opposite order."""
    axis = colour_axis(image)
    places = {}
    for node in users:
        found = sliced(node, graph, 4) if node.op_type == "Slice" else None
        chosen = _range(found[axis], COLOURS) if found is not None and [*found] == [axis] else []
        if len(chosen) != 1 or graph.only_consumer(node.output[0]) is None:
            return None
        places[node.output[0]] = chosen[0]
    return _joins(places, graph, axis)


def joined_split(node: onnx.NodeProto, graph: GraphIndex, axis: int) -> onnx.NodeProto | None:
    """The Concat that puts the three colours of a Split into the opposite order."""
    along = int(attributes(node).get("axis", 0)) % 4
    if along != axis or len(node.output) != COLOURS:
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


def sliced(node: onnx.NodeProto, graph: GraphIndex, rank: int) -> dict[int, tuple[int, int, int]] | None:
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


def backwards(part: tuple[int, int, int]) -> bool:
    """Whether start, end and step take all colours from the last to the first."""
    return _range(part, COLOURS) == [2, 1, 0]


def _range(part: tuple[int, int, int], length: int) -> list[int]:
    start, end, step = part
    if not step:
        return []
    if step < 0 and end < -length:  # before the first
        return list(range(length))[start::step]
    return list(range(length))[start:end:step]
