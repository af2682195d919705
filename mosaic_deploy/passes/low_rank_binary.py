"""Max and Min of two equal shapes, in four dimensions instead of five.

a, b (k,l,m,n,o) -> Max -> y    becomes    Reshape both to (k*l,m,n,o) -> Max -> Reshape -> y
"""

from __future__ import annotations

import math

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    shape = site.out_shape
    if shape is None or len(shape) < 5:
        return False
    flat = (math.prod(shape[:-3]), *shape[-3:])
    parts = []
    for index, name in enumerate(site.node.input):
        theirs = site.shape(index)
        if theirs != shape and theirs != () and theirs != (1,):
            return False
        parts.append(site.reshape(name, flat) if theirs == shape else name)
    return site.give(site.reshape(site.op(site.node.op_type, *parts), shape))


PASS = Pass(
    name="low_rank_binary",
    summary="Max and Min on 5 dimensions -> Reshape, the same on 4, Reshape",
    anchors=("Max", "Min"),
    moves=True,
    rewrite=_rewrite,
)
