"""A mean over the plane as global average pooling.

x (N,C,H,W) -> ReduceMean(axes 2, 3) -> y    becomes    x -> GlobalAveragePool -> (Reshape) -> y
"""

from __future__ import annotations

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    shape, after, given = site.shape(), site.out_shape, site.constant(1)
    if shape is None or after is None or len(shape) != 4 or (site.input(1) and given is None):
        return False
    stated = site.numbers("axes") if given is None else tuple(int(axis) for axis in given)
    if {axis % 4 for axis in stated} != {2, 3}:
        return False
    pooled = site.op("GlobalAveragePool", site.x)
    return site.give(pooled if len(after) == 4 else site.op("Reshape", pooled, site.sizes(after)))


PASS = Pass(
    name="reduce_mean_pool",
    summary="ReduceMean over height and width -> GlobalAveragePool",
    anchors=("ReduceMean",),
    rewrite=_rewrite,
)
