"""Weights of the first convolution, as fine as a CPU without VNNI can add up; runs in a child process.

    int16(pixel 0 * weight 0 + pixel 1 * weight 1) + int16(pixel 2 * weight 2 + ...) + ...

An x86-64 CPU before VNNI multiplies bytes and adds the products of two neighbouring channels in 16 bits, cut
off at the end (oneDNN, "Nuances of int8 computations"). Pixels reach 255, so two int8 weights can ask for
64,770 where 32,767 is the end: with 8 bits the reference network lost 9 % of its pixels there. NNCF therefore
gives this convolution 7 bits, which costs accuracy everywhere. But most pairs are far from that: here an
output channel gets the finest step at which no pair of its weights adds up to more than 128.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.backends.openvino.ir import bring_openvino, constant

if TYPE_CHECKING:
    import openvino

Array = NDArray[Any]

_LARGEST = 127
_PAIR = 127
"""Of two weights, before each is rounded by half a step at most: 255 * 128 fits 16 bits."""


def finest_steps(weights: Array) -> Array:
    """Return the step of each output channel, [out, 1, 1, 1], of weights [out, in, height, width]."""
    wide = np.pad(np.asarray(weights, np.float64), ((0, 0), (0, weights.shape[1] % 2), (0, 0), (0, 0)))
    pairs = wide[:, 0::2] + wide[:, 1::2]
    alone, added = (np.abs(part).max(axis=(1, 2, 3), keepdims=True) for part in (wide, pairs))
    steps: Array = np.maximum(alone / _LARGEST, added / _PAIR)
    steps[steps == 0] = 1.0
    return steps


def refine(first: Sequence[openvino.Node], source: openvino.Model, images: Sequence[Path]) -> None:
    """Round anew, in place, the weights of each Convolution that reads one of the quantisers in ``first``.

    The bias behind it, which NNCF corrected for the weights it chose, is corrected for these.

    Args:
        first: the quantisers of the network's input, in what NNCF made of ``source``.
        source: the network in float.
        images: the calibration images, .npy files of the network's input.
    """
    plain = {node.get_friendly_name(): node for node in source.get_ordered_ops()}
    for quantizer in first:
        readers = [port.get_node() for port in quantizer.output(0).get_target_inputs()]
        convolutions = [node for node in readers if node.get_type_name() == "Convolution"]
        means = _means(quantizer, images) if convolutions else None
        for convolution in convolutions:
            weights = plain[convolution.get_friendly_name()].input_value(1).get_node()
            if weights.get_type_name() == "Constant" and means is not None:
                _round_anew(convolution, weights.data, means)


def _round_anew(convolution: openvino.Node, weights: Array, means: Array) -> None:
    """Give a Convolution ``weights`` on their finest grid, where NNCF gave it one per output channel."""
    product = convolution.input_value(1).get_node()
    if product.get_type_name() != "Multiply" or constant(product, 1).shape != (len(weights), 1, 1, 1):
        return
    steps = finest_steps(weights).astype(np.float32)
    integers = np.round(weights / steps).clip(-_LARGEST, _LARGEST).astype(np.int8)
    cast = product.input_value(0).get_node()
    lost = constant(cast, 0) * constant(product, 1) - integers * steps
    _replace(cast, 0, integers)
    _replace(product, 1, steps)
    for port in convolution.output(0).get_target_inputs():
        reader = port.get_node()
        if reader.get_type_name() == "Add" and reader.input_value(1).get_node().get_type_name() == "Constant":
            bias = constant(reader, 1)
            moved = np.einsum("oihw,i->o", lost, means).reshape(1, -1, 1, 1)
            _replace(reader, 1, (bias + moved).astype(np.float32))


def _means(quantizer: openvino.Node, images: Sequence[Path]) -> Array:
    """The mean of each channel of the images, their axes in the order that the quantiser sees."""
    ahead = quantizer.input_value(0).get_node()
    order = constant(ahead, 1) if ahead.get_type_name() == "Transpose" else (0, 1, 2, 3)
    each = [np.load(path, allow_pickle=False).transpose(order).mean(axis=(0, 2, 3)) for path in images]
    means: Array = np.mean(each, axis=0)
    return means


def _replace(node: openvino.Node, index: int, values: Array) -> None:
    node.input(index).replace_source_output(bring_openvino().opset13.constant(values).output(0))
