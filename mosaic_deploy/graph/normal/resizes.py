"""Resizes with every side of their output stated.

    Resize(axes = [2, 3], sizes = [64, 64])    becomes    Resize(sizes = [1, 8, 64, 64])

The attribute came with opset 18, and most compilers pass over it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_deploy.graph.attributes import read_attribute
from mosaic_deploy.graph.normal.draft import Draft

if TYPE_CHECKING:
    import onnx


def state(draft: Draft) -> None:
    """Write every Resize of some axes as one of all."""
    draft.visit(lambda node, _: node.op_type == "Resize" and _state(node, draft))


def _state(node: onnx.NodeProto, draft: Draft) -> bool:
    stated = {attribute.name: read_attribute(attribute) for attribute in node.attribute}
    axes = stated.get("axes")
    before, after = draft.graph.shape(node.input[0]), draft.graph.shape(node.output[0])
    if not isinstance(axes, tuple) or before is None or after is None or len(before) != len(after):
        return False
    rank = len(before)
    places = [int(axis) % rank for axis in axes if -rank <= int(axis) < rank]
    cropped = stated.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    policy = stated.get("keep_aspect_ratio_policy", "stretch")
    if cropped or policy != "stretch" or len(set(places)) != len(axes):
        return False
    inputs = [node.input[0], ""]
    if len(node.input) > 2 and node.input[2]:
        held = draft.array(node.input[2])
        if held is None or held.size != len(places):
            return False
        scales = np.ones(rank, np.float32)
        scales[places] = held.reshape(-1)
        inputs.append(draft.store(node.output[0], scales))
    else:
        inputs += ["", draft.store(node.output[0], np.asarray(after, np.int64))]
    made = type(node)()
    made.CopyFrom(node)
    made.input[:] = inputs
    kept = [a for a in node.attribute if a.name not in ("axes", "keep_aspect_ratio_policy")]
    del made.attribute[:]
    made.attribute.extend(kept)
    return draft.replace(node, [made])
