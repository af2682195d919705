"""Numbers per channel beside a convolution, folded into its weights.

    Conv -> BatchNormalization -> y     becomes    Conv(w', b') -> y
    BatchNormalization -> Conv -> y     becomes    Conv(w', b') -> y      where no padding lies between
    BatchNormalization -> y             becomes    Conv(depthwise, 1x1) -> y
    Conv -> Mul(c) or Add(c) -> y       becomes    Conv(w', b') -> y      where c is one number per channel

A convolution is ``Conv`` or ``ConvTranspose`` with stored weights that nothing else reads the output of.
Accelerators keep BatchNormalization in few bits (the Hexagon is off by up to 85 % of the range), so none is
left where it can be avoided. Sums are in float64 and rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.normal.draft import Draft

if TYPE_CHECKING:
    import onnx

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Affine:
    """y = factor * x + offset, one of each per channel."""

    factor: Numbers
    offset: Numbers


def fold(draft: Draft) -> None:
    """Fold what stands beside convolutions; write the remaining normalisations as convolutions."""
    draft.visit(_fold)


def _fold(node: onnx.NodeProto, draft: Draft) -> None:
    if node.op_type not in ("BatchNormalization", "Mul", "Add") or draft.graph.quantized(node):
        return
    affine, source = _affine(node, draft)
    if affine is None:
        return
    if _into_maker(node, source, affine, draft) or node.op_type != "BatchNormalization":
        return
    if not _into_reader(node, source, affine, draft):
        _alone(node, source, affine, draft)


def _affine(node: onnx.NodeProto, draft: Draft) -> tuple[Affine | None, str]:
    """What a node does per channel, and the tensor that it does it to."""
    if node.op_type == "BatchNormalization":
        return _of_norm(node, draft), str(node.input[0])
    left, right = (draft.array(name) for name in node.input)
    if (left is None) == (right is None):
        return None, ""
    source, held = (node.input[1], left) if left is not None else (node.input[0], right)
    shape = draft.graph.shape(source)
    assert held is not None
    if (
        held.dtype.kind != "f"
        or shape is None
        or len(shape) < 3
        or draft.graph.shape(node.output[0]) != shape
    ):
        return None, ""
    numbers = _per_channel(held, shape)
    if numbers is None:
        return None, ""
    still = np.zeros(shape[1]) if node.op_type == "Mul" else np.ones(shape[1])
    return (Affine(numbers, still) if node.op_type == "Mul" else Affine(still, numbers)), str(source)


def _per_channel(held: NDArray[Any], shape: Sequence[int]) -> Numbers | None:
    """(C,) out of what broadcasts as (1, C, 1, 1) or as one number; else None."""
    sides = (1,) * (len(shape) - held.ndim) + held.shape
    if len(sides) != len(shape) or any(side != 1 for i, side in enumerate(sides) if i != 1):
        return None
    return (
        np.broadcast_to(held.reshape(-1).astype(np.float64), (shape[1],))
        if sides[1] in (1, shape[1])
        else None
    )


def _of_norm(node: onnx.NodeProto, draft: Draft) -> Affine | None:
    attributes = {a.name: a for a in node.attribute}
    trains = "training_mode" in attributes and attributes["training_mode"].i
    values = [draft.array(name) for name in node.input[1:5]]
    extra = any(draft.graph.consumers(name) for name in node.output[1:] if name)
    if trains or extra or len(values) != 4 or any(value is None for value in values):
        return None
    scale, shift, mean, variance = (np.asarray(value, np.float64) for value in values)
    epsilon = attributes["epsilon"].f if "epsilon" in attributes else 1e-5
    factor = scale / np.sqrt(variance + epsilon)
    offset = shift - mean * factor
    return Affine(factor, offset) if np.isfinite(factor).all() and np.isfinite(offset).all() else None


def _into_maker(node: onnx.NodeProto, source: str, affine: Affine, draft: Draft) -> bool:
    conv = draft.graph.producer(source, "Conv", "ConvTranspose")
    if conv is None or draft.touched(conv) or draft.graph.only_consumer(source) is None:
        return False
    held = _weights(conv, draft)
    if held is None:
        return False
    weight, bias = held
    made = _scaled(conv, weight, affine.factor)
    if made is None:
        return False
    start = np.zeros(len(affine.factor)) if bias is None else bias.astype(np.float64)
    offset = start * affine.factor + affine.offset
    return _rewritten(conv, (made, offset), (conv.input[0], node.output[0]), draft, node, weight.dtype)


def _into_reader(node: onnx.NodeProto, source: str, affine: Affine, draft: Draft) -> bool:
    """The convolution behind, where it adds no zeros that the normalisation would have moved."""
    conv = draft.graph.only_consumer(node.output[0])
    if conv is None or conv.op_type != "Conv" or draft.touched(conv) or conv.input[0] != node.output[0]:
        return False
    attributes = {a.name: a for a in conv.attribute}
    padded = any(attributes["pads"].ints) if "pads" in attributes else False
    automatic = attributes["auto_pad"].s not in (b"NOTSET", b"VALID") if "auto_pad" in attributes else False
    held = _weights(conv, draft)
    if held is None or ((padded or automatic) and affine.offset.any()):
        return False
    weight, bias = held
    group = int(attributes["group"].i) if "group" in attributes else 1
    inside = weight.shape[1]
    per_filter = affine.factor.reshape(group, 1, inside), affine.offset.reshape(group, 1, inside)
    wide = weight.astype(np.float64).reshape(group, -1, *weight.shape[1:])
    ones = (1,) * (weight.ndim - 2)
    scaled = (wide * per_filter[0].reshape(group, 1, inside, *ones)).reshape(weight.shape)
    spread = wide.sum(axis=tuple(range(3, wide.ndim)))
    offset = (spread * per_filter[1]).sum(axis=2).reshape(-1)
    if bias is not None:
        offset = offset + bias
    return _rewritten(conv, (scaled, offset), (source, conv.output[0]), draft, node, weight.dtype)


def _alone(node: onnx.NodeProto, source: str, affine: Affine, draft: Draft) -> bool:
    """As a depthwise convolution of one tap."""
    import onnx

    shape, dtype = draft.graph.shape(source), draft.graph.dtype(source)
    if shape is None or len(shape) not in (3, 4) or dtype is None or dtype.kind != "f":
        return False
    ones = (1,) * (len(shape) - 2)
    weight = draft.store(node.output[0], affine.factor.reshape(-1, 1, *ones).astype(dtype))
    bias = draft.store(node.output[0], affine.offset.astype(dtype))
    made = onnx.helper.make_node(
        "Conv", [source, weight, bias], [node.output[0]], name=node.name, group=shape[1], kernel_shape=ones
    )
    made.metadata_props.extend(node.metadata_props)
    return draft.replace(node, [made])


def _weights(conv: onnx.NodeProto, draft: Draft) -> tuple[NDArray[Any], NDArray[Any] | None] | None:
    weight = draft.array(conv.input[1])
    biased = len(conv.input) > 2 and bool(conv.input[2])
    bias = draft.array(conv.input[2]) if biased else None
    if weight is None or weight.dtype.kind != "f" or (biased and bias is None):
        return None
    return weight, bias


def _scaled(conv: onnx.NodeProto, weight: NDArray[Any], factor: Numbers) -> Numbers | None:
    """The weights with each output channel times its factor."""
    ones = (1,) * (weight.ndim - 2)
    if conv.op_type == "Conv":
        scaled: Numbers = weight * factor.reshape(-1, 1, *ones)
        return scaled if len(factor) == weight.shape[0] else None
    group = next((int(a.i) for a in conv.attribute if a.name == "group"), 1)
    if len(factor) != weight.shape[1] * group or weight.shape[0] % group:
        return None
    wide = weight.reshape(group, -1, *weight.shape[1:]) * factor.reshape(group, 1, -1, *ones)
    return wide.reshape(weight.shape)


def _rewritten(
    conv: onnx.NodeProto,
    numbers: tuple[Numbers, Numbers],
    ends: tuple[str, str],
    draft: Draft,
    gone: onnx.NodeProto,
    dtype: np.dtype[Any],
) -> bool:
    """The convolution with other weights, from one tensor to another, in place of itself and of ``gone``."""
    source, result = ends
    weight, bias = (draft.store(conv.input[1], array.astype(dtype)) for array in numbers)
    made = type(conv)()
    made.CopyFrom(conv)
    del made.input[:], made.output[:]
    made.input.extend([source, weight, bias])
    made.output.append(result)
    behind = gone if gone.output[0] == result else conv
    return draft.replace(behind, [made], conv if behind is gone else gone)
