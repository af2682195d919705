"""A network as a compiled file stores it, told as ONNX: the float graph, rounded where the file rounds.

    float:    Conv (weights) -> x -> Relu
    rounded:  Conv (rounded weights) -> x -> Q -> DQ -> Relu

Each tensor that has a grid in the file gets that grid, and weights and biases are the file's where it has
them. Weights that are not found there within a step are not what a quantiser makes of the ONNX's: they are
rounded here, to 8 bits per output channel. Where the file holds float16, weights are rounded to that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.file_parts import FileFacts, FileTensor
from mosaic_deploy.build.diff.named import Grid, NamedGraph

if TYPE_CHECKING:
    import onnx

_LARGEST = 127
_SMALLEST_STEP = 1e-12


@dataclass(frozen=True, slots=True)
class StoredNetwork:
    """A file's network as ONNX."""

    graph: NamedGraph
    """Rounded, with the float graph's tensors, those that the file has on its grids."""
    plain: NamedGraph | None
    """The same with the weights as they were; None where none is rounded."""
    quantised: bool
    """Whether it has grids."""


def stored_network(graph: NamedGraph, facts: FileFacts) -> StoredNetwork:
    """Round a float graph as a file does."""
    import onnx

    grids = {name: _grid(tensor) for name, tensor in facts.tensors.items()}
    known = {name: grid for name, grid in grids.items() if grid is not None}
    if not known and not facts.halves:
        return StoredNetwork(graph, None, quantised=False)
    plain = onnx.ModelProto()
    plain.CopyFrom(graph.model)
    placed = _place_grids(plain, known, graph)
    tensors = {
        name: replace(tensor, stored=_stored(name), grid=known[name]) if name in placed else tensor
        for name, tensor in graph.tensors.items()
    }
    rounded = onnx.ModelProto()
    rounded.CopyFrom(plain)
    if known:
        _store_weights(rounded, facts)
    else:
        _halve_weights(rounded)
    whole, before = (NamedGraph(model, graph.image, tensors) for model in (rounded, plain))
    return StoredNetwork(whole, before, quantised=bool(known))


def _grid(tensor: FileTensor) -> Grid | None:
    return None if tensor.scale is None else Grid(tensor.scale, tensor.zero_point, tensor.dtype)


def _stored(name: str) -> str:
    return f"{name}/stored"


def _place_grids(model: onnx.ModelProto, grids: Mapping[str, Grid], graph: NamedGraph) -> set[str]:
    """Put Q/DQ pairs behind tensors, for all that read them; returns the names of those that got one."""
    from onnx import TensorProto, helper, numpy_helper

    placed = set[str]()

    def pair(name: str) -> Iterator[onnx.NodeProto]:
        grid = grids[name]
        scale, zero, stored = f"{name}/scale", f"{name}/zero", _stored(name)
        step, point = np.array(grid.scale, np.float32), np.array(grid.zero_point, grid.dtype)
        model.graph.initializer.append(numpy_helper.from_array(step, scale))
        model.graph.initializer.append(numpy_helper.from_array(point, zero))
        yield helper.make_node("QuantizeLinear", [name, scale, zero], [stored], name=stored)
        yield helper.make_node("DequantizeLinear", [stored, scale, zero], [f"{name}/read"], name=f"{name}/dq")
        placed.add(name)

    nodes: list[onnx.NodeProto] = []
    image = model.graph.input[0]
    if image.name in grids and image.type.tensor_type.elem_type == TensorProto.FLOAT:
        nodes += pair(image.name)
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name in placed:
                node.input[place] = f"{name}/read"
        nodes.append(node)
        for name in filter(None, node.output):
            if name in grids and name in graph.tensors:
                nodes += pair(name)
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return placed - {image.name}


def _halve_weights(model: onnx.ModelProto) -> None:
    from onnx import numpy_helper

    for tensor, _axis in _float_weights(model):
        halves = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(halves, tensor.name))


def _store_weights(model: onnx.ModelProto, facts: FileFacts) -> None:
    """Turn float weights into integers and a DequantizeLinear, and put the file's biases in."""
    from onnx import helper, numpy_helper

    graph = model.graph
    nodes = []
    for tensor, axis in _float_weights(model):
        name, values = tensor.name, numpy_helper.to_array(tensor)
        integers, steps = facts.weights.get(name) or _eight_bits(values, axis)
        if integers.dtype != np.int8:
            continue  # the file has it as it is
        others = tuple(place for place in range(values.ndim) if place != axis)
        scale, stored = f"{name}/scale", _stored(name)
        tensor.CopyFrom(numpy_helper.from_array(integers, stored))
        graph.initializer.append(numpy_helper.from_array(steps.max(axis=others), scale))
        nodes.append(helper.make_node("DequantizeLinear", [stored, scale], [name], axis=axis))
    for tensor in graph.initializer:
        if tensor.name in facts.biases:
            tensor.CopyFrom(numpy_helper.from_array(facts.biases[tensor.name], tensor.name))
    nodes += [type(node).FromString(node.SerializeToString()) for node in graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _float_weights(model: onnx.ModelProto) -> list[tuple[onnx.TensorProto, int]]:
    """What convolutions and matrix products multiply by, and the axis of the output channels."""
    from onnx import TensorProto

    axes = {name: axis for node in model.graph.node for name, axis in _weights(node)}
    return [
        (tensor, axes[tensor.name] % len(tensor.dims))
        for tensor in model.graph.initializer
        if tensor.name in axes and tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1
    ]


def _weights(node: onnx.NodeProto) -> Iterator[tuple[str, int]]:
    """Names of a node's weights and the axis of their output channels."""
    if node.op_type == "Conv":
        yield node.input[1], 0
    elif node.op_type == "ConvTranspose":
        yield node.input[1], 1
    elif node.op_type == "Gemm":
        turned = any(a.name == "transB" and a.i for a in node.attribute)
        yield node.input[1], 0 if turned else 1
    elif node.op_type == "MatMul":
        yield node.input[1], -1


def _eight_bits(values: NDArray[Any], axis: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Integers and the step of each, one step per output channel."""
    others = tuple(place for place in range(values.ndim) if place != axis)
    step = np.maximum(np.abs(values).max(axis=others, keepdims=True) / _LARGEST, _SMALLEST_STEP)
    return np.rint(values / step).astype(np.int8), np.broadcast_to(step, values.shape).astype(np.float32)
