"""Mish with its two parts.

x -> Mish -> y    becomes    y = x * Tanh(Softplus(x))
"""

from __future__ import annotations

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    return site.give(site.op("Mul", site.x, site.op("Tanh", site.op("Softplus", site.x))))


PASS = Pass(
    name="mish",
    summary="Mish -> x * Tanh(Softplus(x))",
    anchors=("Mish",),
    rewrite=_rewrite,
)
