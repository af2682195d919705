"""LpNormalization written out.

x -> LpNormalization(p=2, axis) -> y    becomes    y = x / Sqrt(ReduceSum(x * x))
x -> LpNormalization(p=1, axis) -> y    becomes    y = x / ReduceSum(Abs(x))
"""

from __future__ import annotations

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site

_LEAST = 1e-12  # so that a row of zeros stays one


def _rewrite(site: Site) -> bool:
    axes = [site.whole("axis", -1)]
    if site.whole("p", 2) == 1:
        norm = site.reduce("ReduceSum", site.op("Abs", site.x), axes)
    else:
        norm = site.op("Sqrt", site.reduce("ReduceSum", site.op("Mul", site.x, site.x), axes))
    return site.give(site.op("Div", site.x, site.op("Clip", norm, site.number(_LEAST))))


PASS = Pass(
    name="lp_norm",
    summary="LpNormalization -> x / Sqrt(ReduceSum(x * x))",
    anchors=("LpNormalization",),
    rewrite=_rewrite,
)
