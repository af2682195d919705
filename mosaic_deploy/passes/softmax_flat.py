"""A Softmax of an opset before 13, which takes all axes from its own on as one, as just that.

x (a,b,c,d) -> Softmax(axis=2) -> y    becomes    Reshape (a*b,c*d) -> Softmax(axis=1) -> Reshape -> y
"""

from __future__ import annotations

import math

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    shape = site.shape()
    if shape is None or site.graph.opset >= 13:
        return False
    axis = site.whole("axis", 1) % len(shape)
    if axis == len(shape) - 1:
        return False
    flat = (math.prod(shape[:axis]), math.prod(shape[axis:]))
    soft = site.op(site.node.op_type, site.op("Reshape", site.x, site.sizes(flat)), axis=1)
    return site.give(site.op("Reshape", soft, site.sizes(shape)))


PASS = Pass(
    name="softmax_flat",
    summary="Softmax before opset 13 -> Reshape, Softmax (last axis), Reshape",
    anchors=("Softmax", "LogSoftmax"),
    rewrite=_rewrite,
)
