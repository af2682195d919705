"""What ONNX Runtime's quantiser needs of a graph and does not see to: free names, and a quantised image.

It calls the parameters of a tensor ``x`` by ``x_scale`` and ``x_zero_point``, whether or not the network has
tensors of such names; and an image that first goes into an operator without an integer kernel stays in float.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_deploy.graph.index import consumers_of, free_name, replace_name
from mosaic_deploy.workers.worker import JsonObject

if TYPE_CHECKING:
    import onnx

_TAKEN = ("_scale", "_zero_point", "_quantized", "_quantized_scale", "_quantized_zero_point")
"""Endings that the quantiser gives to a tensor's name."""


def free_names(model: onnx.ModelProto) -> None:
    """Rename the tensors that the quantiser would take for parameters of its own; ends keep their names."""
    graph = model.graph
    ends = {value.name for value in (*graph.input, *graph.output)}
    names = {name for node in graph.node for name in (*node.input, *node.output) if name}
    for name in sorted(names - ends):
        owner = next((name.removesuffix(end) for end in _TAKEN if name.endswith(end)), None)
        if owner in names:
            _rename(graph, name, free_name(graph, f"{name}_value"))


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        replace_name(node.input, old, new)
        replace_name(node.output, old, new)
        for attribute in node.attribute:
            for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                _rename(body, old, new)
    for value in (*graph.initializer, *graph.value_info):
        if value.name == old:
            value.name = new


def quantize_image(model: onnx.ModelProto, grid: tuple[float, int], dtype: str) -> None:
    """Turn  image -> x  into  image -> Q -> DQ -> x,  unless a quantiser reads the image already.

    Args:
        model: a QDQ graph, which is changed.
        grid: scale and zero point of the image.
        dtype: numpy's name of its integers.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    image = graph.input[0].name
    users = consumers_of(graph, image)
    if [node.op_type for node in users] == ["QuantizeLinear"]:
        return
    stated = next((node for node in graph.node if node.op_type == "QuantizeLinear"), None)
    domain = "" if stated is None else stated.domain
    scale, point, integers, floats = (
        free_name(graph, f"{image}_{part}") for part in ("scale", "zero_point", "quantized", "dequantized")
    )
    for node in users:
        replace_name(node.input, image, floats)
    graph.initializer.append(numpy_helper.from_array(np.array(grid[0], np.float32), scale))
    graph.initializer.append(numpy_helper.from_array(np.array(grid[1], dtype), point))
    pair = (("QuantizeLinear", image, integers), ("DequantizeLinear", integers, floats))
    made = [
        helper.make_node(op, [source, scale, point], [result], free_name(graph, f"{op}_image"), domain=domain)
        for op, source, result in pair
    ]
    for node in reversed(made):
        graph.node.insert(0, node)


def grid_of(lowest: float, highest: float, activations: JsonObject) -> tuple[float, int]:
    """Scale and zero point of a range, which is stretched to hold zero.

    ``activations`` is the recipe's: ``bits``, ``signed`` and ``symmetric``.
    """
    bits, signed = activations["bits"], activations["signed"]
    first = -(1 << (bits - 1)) if signed else 0
    last = first + (1 << bits) - 1
    low, high = min(float(lowest), 0.0), max(float(highest), 0.0)
    if activations["symmetric"]:
        high = max(high, -low)
        low = -high
    scale = (high - low) / (last - first) or 1.0
    return scale, int(np.clip(np.rint(first - low / scale), first, last))
