"""Softmax along the axis that targets take."""

from __future__ import annotations

import math

from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Site


def _softmax_flat(site: Site) -> bool:
    """A Softmax of an opset before 13, which takes all axes from its own on as one, as just that.

    x (a,b,c,d) -> Softmax(axis=2) -> y    becomes    Reshape (a*b,c*d) -> Softmax(axis=1) -> Reshape -> y
    """
    shape = site.shape()
    if shape is None or site.graph.opset >= 13:
        return False
    axis = site.attr_int("axis", 1) % len(shape)
    if axis == len(shape) - 1:
        return False
    flat = (math.prod(shape[:axis]), math.prod(shape[axis:]))
    soft = site.op(site.node.op_type, site.op("Reshape", site.x, site.sizes(flat)), axis=1)
    return site.replace_with(site.op("Reshape", soft, site.sizes(shape)))


SOFTMAX_FLAT = Pass(
    name="softmax_flat",
    summary="Softmax before opset 13 -> Reshape, Softmax (last axis), Reshape",
    anchors=("Softmax", "LogSoftmax"),
    rewrite=_softmax_flat,
)


def _softmax_last(site: Site) -> bool:
    """A Softmax along another axis than the last, along the last.

    x (N,C,H,W) -> Softmax(axis=1) -> y    becomes
    Transpose (0,2,3,1) -> Softmax(axis=-1) -> Transpose -> y
    """
    shape = site.shape()
    if shape is None or site.graph.opset < 13:
        return False
    rank = len(shape)
    axis = site.attr_int("axis", -1) % rank
    if axis == rank - 1:
        return False
    there = [*(a for a in range(rank) if a != axis), axis]
    back = [there.index(a) for a in range(rank)]
    soft = site.op(site.node.op_type, site.transpose(site.x, there), axis=-1)
    return site.replace_with(site.transpose(soft, back))


SOFTMAX_LAST = Pass(
    name="softmax_last",
    summary="Softmax (other axis) -> Transpose, Softmax (last axis), Transpose",
    anchors=("Softmax", "LogSoftmax"),
    rewrite=_softmax_last,
)
