"""A quantised graph whose quantisers can be switched while it runs: one session answers every what-if.

    x -> Q -> DQ -> y       becomes       x -> If(switch) -> y

with 8 bits where the switch is on and 16 where it is off. Tensors that share a grid share a switch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.quantize.mixed_overrides import TwoRanges

if TYPE_CHECKING:
    import onnx

_CONTRIB = "com.microsoft"
_WIDE_LEVELS = (1 << 16) - 1
_PREFIX = "switch/"
_ENDS = "_QuantizeLinear_Input"
"""What ONNX Runtime's quantiser calls what goes into the quantiser of an output."""


@dataclass(frozen=True, slots=True)
class Switchable:
    """A graph with switches."""

    model: onnx.ModelProto
    switches: tuple[str, ...]
    """Name of the tensor that each stands for: the first that has its grid. The graph has a boolean input
    of that name behind ``switch/``."""
    alike: dict[str, tuple[str, ...]]
    """Switch -> all tensors that have its grid."""
    weights: dict[str, NDArray[np.float32]]
    """Name of each constant that has a quantiser -> its values after it. The graph's own are unquantised."""

    def feed(self, on: frozenset[str]) -> dict[str, NDArray[np.bool_]]:
        """The inputs by which exactly these switches are on."""
        return {f"{_PREFIX}{name}": np.array(name in on) for name in self.switches}


def switchable(quantized: onnx.ModelProto, plain: onnx.ModelProto, ranges: TwoRanges) -> Switchable:
    """Make a graph with switches of one with pairs.

    Args:
        quantized: floats at both ends, pairs between; left as it is.
        plain: the float graph that it was made of, for the values of its constants.
        ranges: of its activations.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.ModelProto()
    model.CopyFrom(quantized)
    graph = model.graph
    held = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    floats = {t.name: numpy_helper.to_array(t) for t in plain.graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    kept: list[onnx.NodeProto] = []
    groups: dict[str, list[str]] = {}
    weights: dict[str, NDArray[np.float32]] = {}
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            continue
        if node.op_type != "DequantizeLinear":
            kept.append(node)
            continue
        if node.input[0] in held:
            name = _constant_name(node, floats)
            values = _dequantized(node, held)
            if name in floats:
                weights[name] = values
            graph.initializer.append(numpy_helper.from_array(floats.get(name, values), node.output[0]))
            continue
        pair = makers[node.input[0]]
        group = groups.setdefault(pair.input[1], [])
        group.append(pair.input[0].removesuffix(_ENDS))
        kept.append(_switch(pair, node, group[0], ranges, held))
    del graph.node[:]
    graph.node.extend(kept)
    names = tuple(group[0] for group in groups.values())
    for name in names:
        graph.input.append(onnx.helper.make_tensor_value_info(f"{_PREFIX}{name}", onnx.TensorProto.BOOL, []))
    if not any(o.domain == _CONTRIB for o in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(_CONTRIB, 1))
    del graph.value_info[:]
    return Switchable(model, names, {group[0]: tuple(group) for group in groups.values()}, weights)


def with_weights(found: Switchable, names: frozenset[str] | None = None) -> onnx.ModelProto:
    """The graph with the quantised values of the named constants, of all where none are named."""
    import onnx
    from onnx import numpy_helper

    model = onnx.ModelProto()
    model.CopyFrom(found.model)
    values = {
        output: found.weights[name]
        for name in (found.weights if names is None else names)
        for output in (f"{name}_DequantizeLinear_Output", name)
    }
    for tensor in model.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(numpy_helper.from_array(values[tensor.name], tensor.name))
    return model


def _constant_name(node: onnx.NodeProto, floats: dict[str, NDArray[Any]]) -> str:
    """What a quantised constant is called in the float graph."""
    stem = node.input[0].removesuffix("_quantized")
    return stem if stem in floats else str(node.output[0])


def _dequantized(node: onnx.NodeProto, held: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    integers, scale, point = (held[name] for name in node.input[:3])
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    if scale.ndim == 1 and scale.size > 1:
        sides = [1] * integers.ndim
        sides[axis] = scale.size
        scale, point = scale.reshape(sides), point.reshape(sides)
    values: NDArray[np.float32] = ((integers.astype(np.float64) - point) * scale).astype(np.float32)
    return values


def _switch(
    quantizer: onnx.NodeProto,
    dequantizer: onnx.NodeProto,
    name: str,
    ranges: TwoRanges,
    held: dict[str, NDArray[Any]],
) -> onnx.NodeProto:
    from onnx import helper

    source, result = quantizer.input[0], dequantizer.output[0]
    narrow, point = float(held[quantizer.input[1]]), int(held[quantizer.input[2]])
    bounds = np.iinfo(held[quantizer.input[2]].dtype)
    edges = ((int(bounds.min) - point) * narrow, (int(bounds.max) - point) * narrow)
    low, high = (float(end) for end in ranges.wide.get(name, edges))
    low, high = min(low, edges[0]), max(high, edges[1])
    if point == bounds.min:
        low = 0.0  # a Relu was made part of this grid
    scale = (high - low) / _WIDE_LEVELS or 1.0
    short = _branch("on", source, result, narrow, np.array(point, held[quantizer.input[2]].dtype))
    long = _branch("off", source, result, scale, np.array(round(-low / scale), np.uint16))
    return helper.make_node(
        "If", [f"{_PREFIX}{name}"], [result], f"if/{result}", then_branch=short, else_branch=long
    )


def _branch(word: str, source: str, result: str, scale: float, point: NDArray[Any]) -> onnx.GraphProto:
    from onnx import TensorProto, helper, numpy_helper

    stem = f"{result}/{word}"
    grid = [f"{stem}/scale", f"{stem}/point"]
    nodes = [
        helper.make_node("QuantizeLinear", [source, *grid], [f"{stem}/q"], domain=_CONTRIB),
        helper.make_node("DequantizeLinear", [f"{stem}/q", *grid], [f"{stem}/x"], domain=_CONTRIB),
    ]
    constants = [
        numpy_helper.from_array(np.array(scale, np.float32), grid[0]),
        numpy_helper.from_array(point, grid[1]),
    ]
    value = helper.make_tensor_value_info(f"{stem}/x", TensorProto.FLOAT, None)
    return helper.make_graph(nodes, f"{stem}/graph", [], [value], constants)
