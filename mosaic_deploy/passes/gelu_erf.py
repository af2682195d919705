"""Gelu with Erf, for targets without the one and with the other.

x -> Gelu -> y    becomes    y = x * 0.5 * (1 + Erf(x / sqrt 2))
"""

from __future__ import annotations

import math

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    if site.text("approximate", "none") != "none":
        return False
    erf = site.op("Erf", site.op("Mul", site.x, site.number(math.sqrt(0.5))))
    gate = site.op("Add", erf, site.number(1))
    return site.give(site.op("Mul", site.op("Mul", site.x, site.number(0.5)), gate))


PASS = Pass(
    name="gelu_erf",
    summary="Gelu -> x * 0.5 * (1 + Erf(x / sqrt 2))",
    anchors=("Gelu",),
    rewrite=_rewrite,
)
