"""Constants added to the channels of convolutions and matrix products: to their biases, where possible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.index import free_name, prune

if TYPE_CHECKING:
    import onnx

BIASED = ("Conv", "ConvTranspose", "Gemm")
"""Operators with a bias per channel."""
_BIAS = 2
"""Which of their inputs it is."""


def shifted(model: onnx.ModelProto, shifts: Mapping[str, NDArray[np.float32]]) -> onnx.ModelProto:
    """Copy a graph, with a shift for each channel of what some of its ``BIASED`` nodes give.

        x -> Conv(bias) -> y     becomes     x -> Conv(bias + shift) -> y

    Where the bias is no constant of its own, the shift is added behind the node.

    Args:
        model: left as it is.
        shifts: output of a node -> (channels,) what is added; other names are passed over.
    """
    import onnx
    from onnx import helper, numpy_helper

    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        nodes.append(node)
        shift = shifts.get(node.output[0]) if node.op_type in BIASED else None
        if shift is None:
            continue
        stated = node.input[_BIAS] if len(node.input) > _BIAS else ""
        own = numpy_helper.to_array(constants[stated]) if stated in constants else None
        name = free_name(graph, f"{node.output[0]}/shift")
        if not _scaled(node) and (not stated or (own is not None and own.shape == shift.shape)):
            total = shift if own is None else own + shift
            graph.initializer.append(numpy_helper.from_array(total.astype(np.float32), name))
            del node.input[_BIAS:]
            node.input.append(name)
            continue
        sides = (1, -1) if node.op_type == "Gemm" else (1, -1, *(1,) * _plane(node, constants))
        graph.initializer.append(numpy_helper.from_array(shift.reshape(sides).astype(np.float32), name))
        result, before = node.output[0], free_name(graph, f"{node.output[0]}/unshifted")
        node.output[0] = before
        nodes.append(helper.make_node("Add", [before, name], [result], free_name(graph, f"{result}/add")))
    alive = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(alive)
    prune(graph)
    return changed


def _scaled(node: onnx.NodeProto) -> bool:
    """Whether a Gemm multiplies its bias."""
    return any(attribute.name == "beta" and attribute.f != 1 for attribute in node.attribute)


def _plane(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> int:
    """Axes of what it convolves, behind image and channel; two where the node does not tell."""
    stated = [len(attribute.ints) for attribute in node.attribute if attribute.name == "kernel_shape"]
    weights = constants.get(node.input[1])
    return stated[0] if stated else len(weights.dims) - 2 if weights is not None else 2
