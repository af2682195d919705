"""A matrix product over five dimensions in three or four.

a (b,c,d,i,k) @ b (b,c,d,k,j) -> y    becomes    Reshape both to (b*c*d,.,.) -> MatMul -> Reshape -> y
"""

from __future__ import annotations

import math

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    left, right, after = site.shape(0), site.shape(1), site.out_shape
    if left is None or right is None or after is None or max(len(left), len(right)) < 5:
        return False
    batch = math.prod(after[:-2])
    parts = []
    for index, shape in enumerate((left, right)):
        if len(shape) == 2:
            parts.append(site.input(index))  # one matrix for all
        elif shape[:-2] == after[:-2]:
            parts.append(site.op("Reshape", site.input(index), site.sizes((batch, *shape[-2:]))))
        elif all(side == 1 for side in shape[:-2]):
            parts.append(site.op("Reshape", site.input(index), site.sizes((1, *shape[-2:]))))
        else:
            return False
    return site.give(site.op("Reshape", site.op("MatMul", *parts), site.sizes(after)))


PASS = Pass(
    name="matmul_low_rank",
    summary="MatMul on 5 dimensions -> Reshape, MatMul on 3, Reshape",
    anchors=("MatMul",),
    rewrite=_rewrite,
)
