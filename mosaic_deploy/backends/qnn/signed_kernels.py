"""Kernels that keep a grid, as the Hexagon holds them beside activations of 16 bits: int8, per channel.

The compiler makes int8 without a zero point of a kernel of uint8 with one, as old TFLite files have them: a
channel whose integers do not fit gets a step of its own, and each of its weights the nearest multiple. Here
such a channel is rounded for what it gives.

A channel of small integers gets larger ones, n times as large in steps of an n-th, which is the same kernel:
the simulator's sums lose what is below a step of the input times one of the weights, several times over
(depthwise, QNN 2.51, v75: 11 steps of the output in the mean, and 1.4 with larger integers).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.quantize.fitted_rounding import Convolution, Products, fit
from mosaic_deploy.quantize.weight_grids import OUTPUT_AXIS, own_steps

if TYPE_CHECKING:
    import onnx

    from mosaic_deploy.quantize.qdq import Insertion

_LARGEST = np.iinfo(np.int8).max
_INPUT_LEVELS = np.iinfo(np.uint16).max
_BIAS_STEPS = 2.0**26
"""See ``quantize/sound_ranges.py``."""
_INPUTS = 1536
"""Of a channel that is rounded for what it gives: the products of more take too much memory."""


@dataclass(frozen=True, slots=True)
class _Kernel:
    """Weights on a grid of 8 bits, per tensor or per channel."""

    node: onnx.NodeProto
    values: NDArray[np.float32]
    scales: NDArray[np.float64]
    """(channels,)."""
    most: NDArray[np.float64]
    """(channels,): by what the integers may be multiplied so that the bias has no more steps than it may."""
    alone: bool
    """Whether no other node reads them."""

    @property
    def name(self) -> str:
        return str(self.node.input[1])

    @property
    def axis(self) -> int:
        return OUTPUT_AXIS[self.node.op_type]

    @property
    def channels(self) -> NDArray[np.float64]:
        """(channels, ...)."""
        return np.moveaxis(self.values, self.axis, 0).astype(np.float64)

    @property
    def largest(self) -> NDArray[np.float64]:
        """(channels,): the largest integer of each, its sign left out."""
        found: NDArray[np.float64] = np.abs(self.channels).reshape(len(self.scales), -1).max(axis=1)
        return np.rint(found / self.scales)

    @property
    def large(self) -> tuple[int, ...]:
        """The channels whose integers do not fit."""
        return tuple(np.flatnonzero(self.largest > _LARGEST))


def signed_kernels(what: Insertion) -> dict[str, list[dict[str, Any]]]:
    """Parameters per channel for the convolutions in 16 bits whose kernels keep the grid they came on.

    Channels that fit into +-127 lose nothing. The weights of others are replaced in ``what.model`` by what
    they are rounded to.
    """
    from onnx import numpy_helper
    from onnxruntime.quantization import QuantType

    kernels = list(_kernels(what))
    products = _products(kernels, what)
    constants = {tensor.name: tensor for tensor in what.model.graph.initializer}
    found: dict[str, list[dict[str, Any]]] = {}
    for kernel in kernels:
        values, steps = _rounded(kernel, products.get(kernel.name))
        constants[kernel.name].CopyFrom(numpy_helper.from_array(values, kernel.name))
        found[kernel.name] = [
            {
                "axis": kernel.axis,
                "quant_type": QuantType.QInt8,
                "scale": np.array(step, np.float32),
                "zero_point": np.array(0, np.int8),
            }
            for step in steps
        ]
    return found


def _kernels(what: Insertion) -> Iterator[_Kernel]:
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in what.model.graph.initializer}
    uses = Counter(name for node in what.model.graph.node for name in node.input)
    seen = set[str]()
    for node in what.model.graph.node:
        if node.op_type not in OUTPUT_AXIS or node.input[1] in seen or node.input[1] not in what.overrides:
            continue
        grouped = any(held.name == "group" and held.i > 1 for held in node.attribute)
        if (grouped and OUTPUT_AXIS[node.op_type]) or not _in_sixteen(node, what):
            continue  # the second axis of a grouped ConvTranspose is that of one group
        seen.add(node.input[1])
        values = numpy_helper.to_array(constants[node.input[1]])
        stated = np.array([float(part["scale"]) for part in what.overrides[node.input[1]]])
        scales = np.broadcast_to(stated, values.shape[OUTPUT_AXIS[node.op_type]]).copy()
        bias = constants.get(node.input[2]) if len(node.input) > 2 else None
        most = np.full(len(scales), np.inf)
        if bias is not None and node.input[0] in what.ranges:
            low, high = (float(end) for end in what.ranges[node.input[0]])
            step = (max(high, 0.0) - min(low, 0.0)) / _INPUT_LEVELS
            held = np.maximum(np.abs(numpy_helper.to_array(bias)), np.finfo(np.float32).tiny)
            most = _BIAS_STEPS * step * scales / held
        yield _Kernel(node, values, scales, most, uses[node.input[1]] == 1)


def _products(kernels: list[_Kernel], what: Insertion) -> dict[str, Products]:
    """Of what the channels that do not fit are multiplied with, by the kernel's name."""
    wanted: dict[str, dict[str, Products]] = {}
    for kernel in kernels:
        shape = Convolution.of(kernel.node, kernel.values.shape)
        if kernel.large and kernel.alone and shape is not None and shape.inputs <= _INPUTS:
            source = wanted.setdefault(str(kernel.node.input[0]), {})
            source[kernel.name] = Products.wanted(shape, kernel.large)
    if wanted and what.watch is not None:
        for name, values in what.watch():
            for products in wanted.get(name, {}).values():
                products.add(values)
    return {name: products for source in wanted.values() for name, products in source.items()}


def _rounded(kernel: _Kernel, products: Products | None) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The weights on their new grids, and the step of each channel."""
    channels, largest = kernel.channels, kernel.largest
    times = np.minimum(_LARGEST // np.maximum(largest, 1.0), np.floor(kernel.most))
    steps = kernel.scales / np.maximum(times, 1.0)
    large = list(kernel.large)
    if products is None:
        widest = np.where(largest > 0, largest, 1.0) * kernel.scales / _LARGEST
        steps[large] = own_steps(kernel.values, kernel.axis, widest)[0][large]
        return kernel.values, steps
    made = channels.copy()
    for index in large:
        rounded = fit(channels[index].ravel(), products.of(index), scale=float(kernel.scales[index]))
        made[index] = (rounded.integers * rounded.step).reshape(channels[index].shape)
        steps[index] = rounded.step
    return np.moveaxis(made, 0, kernel.axis).astype(np.float32), steps


def _in_sixteen(node: onnx.NodeProto, what: Insertion) -> bool:
    """Whether a node takes its first input in 16 bits: as it is made, or converted for it."""
    from onnxruntime.quantization import QuantType

    (stated,) = what.overrides.get(node.input[0]) or ({},)
    kind, conversion = stated.get("quant_type", what.activation_type), stated.get("convert")
    if conversion and node.name in conversion["recv_nodes"]:
        kind = conversion["quant_type"]
    return kind in (QuantType.QInt16, QuantType.QUInt16)
