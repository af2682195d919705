"""A Softmax along another axis than the last, along the last.

x (N,C,H,W) -> Softmax(axis=1) -> y    becomes    Transpose (0,2,3,1) -> Softmax(axis=-1) -> Transpose -> y
"""

from __future__ import annotations

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    shape = site.shape()
    if shape is None or site.graph.opset < 13:
        return False
    rank = len(shape)
    axis = site.whole("axis", -1) % rank
    if axis == rank - 1:
        return False
    there = [*(a for a in range(rank) if a != axis), axis]
    back = [there.index(a) for a in range(rank)]
    soft = site.op(site.node.op_type, site.transpose(site.x, there), axis=-1)
    return site.give(site.transpose(soft, back))


PASS = Pass(
    name="softmax_last",
    summary="Softmax (other axis) -> Transpose, Softmax (last axis), Transpose",
    anchors=("Softmax", "LogSoftmax"),
    rewrite=_rewrite,
)
