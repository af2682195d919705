"""Valid interpolation: only the classes that win somewhere at low resolution are resized and compared.

    scores (1, C, h, w) -> ArgMax -> Unique -> classes (L)
    scores, classes -> Gather -> Resize -> ArgMax -> places (1, H, W)
    classes, places -> Gather -> Cast -> ids (1, H, W) int32

How many classes are left is known once the image has been seen, so tensors have sizes that no compiler of
fixed shapes takes. The ids differ from those of all scores resized only where a class wins that wins nowhere
at low resolution.

Source: the "valid interpolate module" of Tang et al., "PP-MobileSeg" (arXiv 2304.05152).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.ends.output import INT32, INT64
from mosaic_deploy.graph.index import free_name

if TYPE_CHECKING:
    import onnx

_OPSET = 18  # from which on a Resize may name its axes


def add_valid(
    model: onnx.ModelProto,
    scores: str,
    output: str,
    axis: int,
    plane: tuple[int, int],
    resizing: dict[str, str],
) -> None:
    """Append the nodes that make ``output``, (1, H, W) int32, of ``scores``, whose classes are on ``axis``.

    ``resizing`` has the attributes of the Resize to ``plane``. Of equal scores the first class wins.

    Raises ``ModelError`` where the opset has no such Resize.
    """
    from onnx import helper, numpy_helper

    opset = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset < _OPSET:
        raise ModelError(
            f"--output vim is not possible in opset {opset}: export with opset {_OPSET} or later"
        )
    graph = model.graph
    winners, classes, kept, resized, places, ids, size = (
        free_name(graph, f"valid_{part}")
        for part in ("winners", "classes", "scores", "resized", "places", "ids", "size")
    )
    graph.initializer.append(numpy_helper.from_array(np.array(plane, np.int64), size))
    sides = [place for place in (1, 2, 3) if place != axis]
    node = helper.make_node
    graph.node.extend(
        (
            node("ArgMax", [scores], [winners], winners, axis=axis, keepdims=0),
            node("Unique", [winners], [classes], classes, sorted=1),
            node("Gather", [scores, classes], [kept], kept, axis=axis),
            node("Resize", [kept, "", "", size], [resized], resized, axes=sides, **resizing),
            node("ArgMax", [resized], [places], places, axis=axis, keepdims=0),
            node("Gather", [classes, places], [ids], ids, axis=0),
            node("Cast", [ids], [output], free_name(graph, "as_int32"), to=INT32),
        )
    )
    graph.value_info.append(helper.make_tensor_value_info(ids, INT64, (1, *plane)))
