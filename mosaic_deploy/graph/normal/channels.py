"""Channels put in another order before a convolution: an order of its weights.

    Gather(channels 2, 0, 1) -> Conv(w)    becomes    Conv(w'), the input channels of w in that order

Bit for bit the same but for the order of a sum. Compilers move the channels of a whole image otherwise, and
the Hexagon's runs out of memory on three.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_deploy.graph.normal.draft import Draft

if TYPE_CHECKING:
    import onnx


def reorder(draft: Draft) -> None:
    """Fold every Gather that permutes the channels of images into the convolutions that read it."""
    draft.visit(_reorder)


def _reorder(node: onnx.NodeProto, draft: Draft) -> None:
    order = _order(node, draft) if node.op_type == "Gather" else None
    if order is not None:
        _fold(node, order, draft)


def _order(node: onnx.NodeProto, draft: Draft) -> list[int] | None:
    """Which channel comes in each place; None where that is no permutation of an image's channels."""
    shape, indices = draft.graph.shape(node.input[0]), draft.array(node.input[1])
    axis = next((int(a.i) for a in node.attribute if a.name == "axis"), 0)
    if shape is None or len(shape) != 4 or axis % 4 != 1 or indices is None or indices.ndim != 1:
        return None
    if indices.dtype.kind != "i" or indices.size != shape[1]:
        return None
    order = [int(place) + (shape[1] if place < 0 else 0) for place in indices]
    return order if sorted(order) == list(range(shape[1])) else None


def _fold(node: onnx.NodeProto, order: list[int], draft: Draft) -> None:
    name = node.output[0]
    readers = draft.graph.consumers(name)
    if name in draft.graph.protected or not readers:
        return
    places = np.argsort(order)
    made = []
    for conv in readers:
        weight = draft.array(conv.input[1]) if reads_all_channels(conv, name, draft) else None
        if weight is None or weight.ndim != 4 or weight.shape[1] != len(order) or weight.dtype.kind != "f":
            return
        made.append((conv, weight[:, places]))
    for conv, weight in made:
        copy = type(conv)()
        copy.CopyFrom(conv)
        copy.input[1] = draft.store(conv.input[1], weight)
        draft.replace(conv, [copy])
    draft.forward(node, node.input[0])


def reads_all_channels(conv: onnx.NodeProto, name: str, draft: Draft) -> bool:
    """Whether a reader is a convolution of all channels, whose image alone is ``name``."""
    if conv.op_type != "Conv" or conv.domain not in ("", "ai.onnx") or draft.touched(conv):
        return False
    group = next((int(a.i) for a in conv.attribute if a.name == "group"), 1)
    return group == 1 and [*conv.input].count(name) == 1 and conv.input[0] == name
