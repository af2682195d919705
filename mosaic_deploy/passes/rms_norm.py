"""RMSNormalization written out.

x -> RMSNormalization(scale) -> y    becomes    y = x / Sqrt(ReduceMean(x * x) + epsilon) * scale
"""

from __future__ import annotations

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    shape = site.shape()
    if shape is None or site.whole("stash_type", 1) != 1:
        return False
    axes = range(site.whole("axis", -1) % len(shape), len(shape))
    mean = site.reduce("ReduceMean", site.op("Mul", site.x, site.x), list(axes))
    root = site.op("Sqrt", site.op("Add", mean, site.number(site.real("epsilon", 1e-5))))
    return site.give(site.op("Mul", site.op("Div", site.x, root), site.input(1)))


PASS = Pass(
    name="rms_norm",
    summary="RMSNormalization -> x / Sqrt(ReduceMean(x * x) + epsilon) * scale",
    anchors=("RMSNormalization",),
    rewrite=_rewrite,
)
