"""A reduction on five dimensions or more on fewer.

    x (a,b,c,d,e) -> ReduceMax(axes) -> y    becomes    Reshape (merged) -> ReduceMax -> Reshape -> y

Neighbouring axes that are reduced merge, and so do neighbours that stay.
"""

from __future__ import annotations

import math

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site

_KINDS = ("ReduceMax", "ReduceMin", "ReduceMean", "ReduceSum", "ReduceL2")


def _rewrite(site: Site) -> bool:
    shape, after, given = site.shape(), site.out_shape, site.constant(1)
    if shape is None or after is None or len(shape) < 5 or (site.input(1) and given is None):
        return False
    stated = site.numbers("axes") if given is None else tuple(int(axis) for axis in given)
    if not stated:
        return False
    axes = {axis % len(shape) for axis in stated}
    runs: list[list[int]] = []
    for axis in range(len(shape)):
        if runs and (runs[-1][0] in axes) == (axis in axes):
            runs[-1].append(axis)
        else:
            runs.append([axis])
    if len(runs) > 4:
        return False
    low = site.op("Reshape", site.x, site.sizes([math.prod(shape[a] for a in run) for run in runs]))
    kept = [index for index, run in enumerate(runs) if run[0] in axes]
    return site.give(site.op("Reshape", site.reduce(site.node.op_type, low, kept), site.sizes(after)))


PASS = Pass(
    name="reduce_low_rank",
    summary="ReduceMax and the like on 5 dimensions -> Reshape, the same on fewer, Reshape",
    anchors=_KINDS,
    rewrite=_rewrite,
)
