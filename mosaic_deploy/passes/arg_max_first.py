"""ArgMax that is to take the last of equal numbers, on the reversed axis.

x -> ArgMax(select_last_index=1) -> y    becomes    n - 1 - ArgMax(reversed x)
"""

from __future__ import annotations

import numpy as np

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    shape = site.shape()
    if shape is None or not site.whole("select_last_index", 0):
        return False
    axis = site.whole("axis", 0) % len(shape)
    turned = site.slice(site.x, -1, -(2**31), axis=axis, step=-1)
    first = site.op(site.node.op_type, turned, axis=axis, keepdims=site.whole("keepdims", 1))
    return site.give(site.op("Sub", site.const(np.asarray(shape[axis] - 1, np.int64)), first))


PASS = Pass(
    name="arg_max_first",
    summary="ArgMax (select_last_index) -> n - 1 - ArgMax of the reversed axis",
    anchors=("ArgMax", "ArgMin"),
    moves=True,
    rewrite=_rewrite,
)
