"""The cast of class ids right behind their ArgMax, so that nothing else works on 64 bits.

    ArgMax -> Reshape -> Cast(int32) -> y    becomes    ArgMax -> Cast(int32) -> Reshape -> y

The same for Squeeze, Unsqueeze, Transpose, Flatten and Slice.
"""

from __future__ import annotations

import numpy as np

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site

_MOVES = ("Reshape", "Squeeze", "Unsqueeze", "Transpose", "Flatten", "Slice")


def _rewrite(site: Site) -> bool:
    if site.graph.dtype(site.x) != np.int64:
        return False
    chain = []
    name = site.x
    while (node := site.graph.maker(name, *_MOVES)) is not None:
        if site.graph.only_reader(name) is None:
            return False
        chain.append(node)
        name = node.input[0]
    if not chain or site.graph.maker(name, "ArgMax", "ArgMin") is None:
        return False
    y = site.op("Cast", name, to=site.whole("to", 0))
    for node in reversed(chain):
        y = site.op(node.op_type, y, *node.input[1:])
        site.made[-1].attribute.extend(node.attribute)
    site.covers(*chain)
    return site.give(y)


PASS = Pass(
    name="arg_max_cast",
    summary="ArgMax, Reshape, Cast -> ArgMax, Cast, Reshape",
    anchors=("Cast",),
    cures=("Cast", *_MOVES),
    moves=True,
    rewrite=_rewrite,
)
