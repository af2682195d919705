"""LayerNormalization written out.

x -> LayerNormalization(scale, bias) -> y    becomes
y = (x - ReduceMean(x)) / Sqrt(ReduceMean((x - ReduceMean(x)) ^ 2) + epsilon) * scale + bias
"""

from __future__ import annotations

from mosaic_deploy.passes._normalise import normalise
from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    shape = site.shape()
    if shape is None or len(site.node.output) != 1 or site.whole("stash_type", 1) != 1:
        return False
    axes = range(site.whole("axis", -1) % len(shape), len(shape))
    y = normalise(site, site.x, list(axes), epsilon=site.real("epsilon", 1e-5))
    y = site.op("Mul", y, site.input(1))
    return site.give(site.op("Add", y, site.input(2)) if site.input(2) else y)


PASS = Pass(
    name="layer_norm_decomposed",
    summary="LayerNormalization -> ReduceMean, Sub, Mul, Sqrt, Div, Mul, Add",
    anchors=("LayerNormalization",),
    requires=("layer_norm_last",),
    rewrite=_rewrite,
)
