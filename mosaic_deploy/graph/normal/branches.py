"""Convolutions side by side whose results are added: one convolution.

    x -> Conv(w1) ---+
                     Add -> y    becomes    x -> Conv(w1 + w2) -> y
    x -> Conv(w2) ---+

Networks such as RepVGG, MobileOne and FastViT are trained with branches that are meant to be one when they
are deployed; exported as trained, they cost several times as much, and integers lose more. The smaller kernel
is padded with zeros to the larger; a branch of one number per channel, as a lone BatchNormalization becomes,
joins whatever groups the other has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.attributes import read_attribute
from mosaic_deploy.graph.normal.draft import Draft

if TYPE_CHECKING:
    import onnx

_RANK = 4


@dataclass(frozen=True, slots=True)
class _Branch:
    """A convolution of an image, read with the operator's defaults."""

    node: onnx.NodeProto
    weight: NDArray[Any]
    bias: NDArray[Any] | None
    group: int
    strides: tuple[int, ...]
    pads: tuple[int, ...]

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width."""
        return int(self.weight.shape[2]), int(self.weight.shape[3])


def merge(draft: Draft) -> None:
    """Merge every pair of branches that can be one; what has more is merged in later sweeps."""
    draft.visit(lambda node, _: node.op_type == "Add" and _merge(node, draft))


def _merge(node: onnx.NodeProto, draft: Draft) -> bool:
    pair = [branch for name in node.input if (branch := _branch(name, draft)) is not None]
    if len(pair) != 2 or node.input[0] == node.input[1]:
        return False
    first, second = sorted(pair, key=lambda branch: -branch.weight.size)
    if first.node.input[0] != second.node.input[0] or first.strides != second.strides:
        return False
    inner = _grouped(second, first)
    placed = None if inner is None else _placed(inner, second, first)
    if placed is None or draft.graph.shape(first.node.output[0]) != draft.graph.shape(node.output[0]):
        return False
    weight = first.weight.astype(np.float64) + placed
    biases = [b.bias.astype(np.float64) for b in (first, second) if b.bias is not None]
    return _replace(node, (first, second), weight, sum(biases, np.zeros(weight.shape[0])), draft)


def _replace(
    node: onnx.NodeProto,
    pair: tuple[_Branch, _Branch],
    weight: NDArray[np.float64],
    bias: NDArray[np.float64],
    draft: Draft,
) -> bool:
    first, second = pair
    dtype = first.weight.dtype
    made = type(node)()
    made.CopyFrom(first.node)
    del made.input[:], made.output[:]
    near = first.node.input[1]
    made.input.extend(
        [first.node.input[0], draft.store(near, weight.astype(dtype)), draft.store(near, bias.astype(dtype))]
    )
    made.output.append(node.output[0])
    return draft.replace(node, [made], first.node, second.node)


def _branch(name: str, draft: Draft) -> _Branch | None:
    """The convolution that makes a tensor which only the sum reads."""
    node = draft.graph.producer(name, "Conv")
    if node is None or draft.touched(node) or draft.graph.only_consumer(name) is None:
        return None
    weight = draft.array(node.input[1])
    biased = len(node.input) > 2 and bool(node.input[2])
    bias = draft.array(node.input[2]) if biased else None
    stated = {attribute.name: read_attribute(attribute) for attribute in node.attribute}
    if weight is None or weight.ndim != _RANK or weight.dtype.kind != "f" or (biased and bias is None):
        return None
    if stated.get("auto_pad", "NOTSET") != "NOTSET" or stated.get("dilations", (1, 1)) != (1, 1):
        return None
    group, strides, pads = (
        stated.get(key, default) for key, default in (("group", 1), ("strides", (1, 1)), ("pads", (0,) * 4))
    )
    if not isinstance(group, int) or not isinstance(strides, tuple) or not isinstance(pads, tuple):
        return None
    return _Branch(node, weight, bias, group, tuple(map(int, strides)), tuple(map(int, pads)))


def _grouped(small: _Branch, large: _Branch) -> NDArray[np.float64] | None:
    """The smaller branch's weights in the other's groups: (M, C / groups, kh, kw)."""
    weight = small.weight.astype(np.float64)
    if weight.shape[0] != large.weight.shape[0]:
        return None
    if small.group == large.group:
        return weight if weight.shape[1] == large.weight.shape[1] else None
    channels = weight.shape[0]
    inside = large.weight.shape[1]
    if weight.shape[1] != 1 or small.group != channels or inside * large.group != channels:
        return None
    wide = np.zeros((channels, inside, *small.kernel))
    wide[np.arange(channels), np.arange(channels) % inside] = weight[:, 0]
    return wide


def _placed(weight: NDArray[np.float64], small: _Branch, large: _Branch) -> NDArray[np.float64] | None:
    """The smaller kernel within the larger one: where both look at the same pixel."""
    offsets = [large.pads[side] - small.pads[side] for side in (0, 1)]
    ends = [large.kernel[side] - small.kernel[side] - offsets[side] for side in (0, 1)]
    if min(*offsets, *ends) < 0:
        return None
    return np.pad(weight, ((0, 0), (0, 0), *((offsets[side], ends[side]) for side in (0, 1))))
