"""Swish (SiLU) with a Sigmoid.

x -> Swish(alpha) -> y    becomes    y = x * Sigmoid(alpha * x)
"""

from __future__ import annotations

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    alpha = site.real("alpha", 1.0)
    inner = site.x if alpha == 1 else site.op("Mul", site.x, site.number(alpha))
    return site.give(site.op("Mul", site.x, site.op("Sigmoid", inner)))


PASS = Pass(
    name="swish",
    summary="Swish -> x * Sigmoid(alpha * x)",
    anchors=("Swish",),
    rewrite=_rewrite,
)
