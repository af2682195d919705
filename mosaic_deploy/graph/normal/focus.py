"""Every second pixel four times, joined: one SpaceToDepth.

    x[:, :, 0::2, 0::2], x[:, :, 1::2, 0::2], ... -> Concat -> Conv    becomes    SpaceToDepth(x) -> Conv

"Focus" of the YOLO family, Swin's patch merging and their like. Where the parts come in another order than
SpaceToDepth's, the convolution's weights take that order (``channels``).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mosaic_deploy.graph.normal.channels import reads_all_channels
from mosaic_deploy.graph.normal.draft import Draft

if TYPE_CHECKING:
    import onnx

_HEIGHT, _WIDTH = 2, 3


def join(draft: Draft) -> None:
    """Write every such Concat as a SpaceToDepth, and a Gather of its channels where the order asks for it."""
    for node in draft.nodes:
        if node.op_type == "Concat":
            _join(node, draft)


def _join(node: onnx.NodeProto, draft: Draft) -> None:
    import onnx

    axis = next((int(a.i) for a in node.attribute if a.name == "axis"), 0)
    block = math.isqrt(len(node.input))
    if axis % 4 != 1 or block < 2 or block * block != len(node.input):
        return
    parts = [_part(name, block, draft) for name in node.input]
    sources = {part[0] for part in parts if part is not None}
    if None in parts or len(sources) != 1:
        return
    (source,) = sources
    places = [part[1] * block + part[2] for part in parts if part is not None]
    shape = draft.graph.shape(source)
    if sorted(places) != list(range(block * block)) or shape is None or len(shape) != 4:
        return
    if not all(shape) or shape[_HEIGHT] % block or shape[_WIDTH] % block:
        return
    result = node.output[0]
    if places == sorted(places):
        draft.replace(
            node, [onnx.helper.make_node("SpaceToDepth", [source], [result], node.name, blocksize=block)]
        )
        return
    if result in draft.graph.protected or not all(
        reads_all_channels(reader, result, draft) for reader in draft.graph.consumers(result)
    ):
        return
    order = [place * shape[1] + channel for place in places for channel in range(shape[1])]
    held = draft.store(result, np.array(order, np.int64))
    inner = f"{held}/whole"
    draft.replace(
        node,
        [
            onnx.helper.make_node("SpaceToDepth", [source], [inner], node.name, blocksize=block),
            onnx.helper.make_node("Gather", [inner, held], [result], f"{node.name}/order", axis=1),
        ],
    )


def _part(name: str, block: int, draft: Draft) -> tuple[str, int, int] | None:
    """Of what a tensor takes every ``block``-th pixel, and from which row and column on; else None."""
    starts: dict[int, int] = {}
    while len(starts) < 2:
        node = draft.graph.producer(name, "Slice")
        if node is None:
            return None
        shape = draft.graph.shape(node.input[0])
        cuts = None if shape is None or len(shape) != 4 else _cuts(node, draft)
        if shape is None or cuts is None:
            return None
        for axis, (start, end, step) in cuts.items():
            if axis not in (_HEIGHT, _WIDTH) or axis in starts or step != block or not 0 <= start < block:
                return None
            if end < shape[axis] - block + start + 1:
                return None
            starts[axis] = start
        name = node.input[0]
    return name, starts[_HEIGHT], starts[_WIDTH]


def _cuts(node: onnx.NodeProto, draft: Draft) -> dict[int, tuple[int, int, int]] | None:
    """Start, end and step by axis of a Slice; None where they are not constants."""
    numbers = [draft.array(name) if name else None for name in node.input[1:5]]
    if len(numbers) != 4 or any(held is None or held.ndim != 1 for held in numbers):
        return None
    starts, ends, axes, steps = ([int(n) for n in held] for held in numbers if held is not None)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        return None
    return {a % 4: (s, e, step) for s, e, a, step in zip(starts, ends, axes, steps, strict=True)}
