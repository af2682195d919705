"""Channels between two convolutions brought to like ranges: the network computes the same, and rounds better.

    x -> Conv(W1, b1) -> Relu -> Conv(W2)     becomes     x -> Conv(W1 / s, b1 / s) -> Relu -> Conv(W2 * s)

with a factor per channel, s = sqrt(r1 / r2) of the largest weights r1 and r2 that make and read it. A ReLU
lets a positive factor through, as nothing at all does; other activations do not.

Source: M. Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV 2019,
section 4.1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.reader.living import reads

if TYPE_CHECKING:
    import onnx

_ROUNDS = 20
"""How often all pairs are gone through: a convolution in two of them is changed by both."""
_SMALLEST = 1e-9
"""Channels whose weights are smaller, made or read, stay as they are."""
Weights = dict[str, NDArray[np.float64]]


def equalised(model: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """Copy a float graph with its channels equalised; also in how many pairs of convolutions.

    A pair has nothing or a ReLU between, and nobody else reads what lies there or their constants.
    """
    import onnx
    from onnx import numpy_helper

    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    held = {t.name: numpy_helper.to_array(t) for t in changed.graph.initializer}
    weights = {name: value.astype(np.float64) for name, value in held.items() if value.dtype == np.float32}
    pairs = list(_pairs(changed, weights))
    for _ in range(_ROUNDS):
        for first, second in pairs:
            _equalise(first, second, weights)
    touched = {name for pair in pairs for node in pair for name in node.input[1:]}
    for tensor in changed.graph.initializer:
        if tensor.name in touched:
            tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name].astype(np.float32), tensor.name))
    return changed, len(pairs)


def _pairs(model: onnx.ModelProto, weights: Weights) -> Iterator[tuple[onnx.NodeProto, onnx.NodeProto]]:
    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    uses = Counter(name for node in graph.node for name in reads(node))
    uses.update(value.name for value in graph.output)

    def only(name: str, kind: str) -> onnx.NodeProto | None:
        maker = makers.get(name)
        return maker if maker is not None and maker.op_type == kind and uses[name] == 1 else None

    for second in graph.node:
        if second.op_type != "Conv":
            continue
        relu = only(second.input[0], "Relu")
        first = only(relu.input[0] if relu is not None else second.input[0], "Conv")
        if first is None:
            continue
        constants = [*first.input[1:], *second.input[1:]]
        if all(name in weights and uses[name] == 1 for name in constants) and _group(second) in (
            1,
            weights[first.input[1]].shape[0],
        ):
            yield first, second


def _equalise(first: onnx.NodeProto, second: onnx.NodeProto, weights: Weights) -> None:
    made, read = weights[first.input[1]], weights[second.input[1]]
    channels = len(made)
    each = _group(second) == channels and channels > 1
    # (channels, all else): what makes a channel, and what reads it
    reading = read.reshape(channels, -1) if each else read.swapaxes(0, 1).reshape(channels, -1)
    ours, theirs = np.abs(made.reshape(channels, -1)).max(axis=1), np.abs(reading).max(axis=1)
    alive = (ours > _SMALLEST) & (theirs > _SMALLEST)
    factor = np.where(alive, np.sqrt(np.divide(ours, theirs, where=alive, out=np.ones(channels))), 1.0)
    weights[first.input[1]] = made / factor.reshape(-1, *(1,) * (made.ndim - 1))
    if len(first.input) > 2:
        weights[first.input[2]] = weights[first.input[2]] / factor
    along = np.repeat(factor, len(read) // channels).reshape(-1, 1) if each else factor.reshape(1, -1)
    weights[second.input[1]] = read * along.reshape(*along.shape, *(1,) * (read.ndim - 2))


def _group(node: onnx.NodeProto) -> int:
    stated: list[Any] = [attribute.i for attribute in node.attribute if attribute.name == "group"]
    return int(stated[0]) if stated else 1
