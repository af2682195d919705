"""Celu with an Elu.

    x -> Celu(alpha) -> y    becomes    y = Elu(x / alpha) * alpha

Below 0 it is alpha * (exp(x / alpha) - 1), above 0 it is x. With alpha 1 the two are the same operator.
"""

from __future__ import annotations

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    alpha = site.real("alpha", 1.0)
    if alpha <= 0:
        return False
    if alpha == 1:
        return site.give(site.op("Elu", site.x))
    inner = site.op("Elu", site.op("Mul", site.x, site.number(1 / alpha)))
    return site.give(site.op("Mul", inner, site.number(alpha)))


PASS = Pass(name="celu", summary="Celu -> Elu(x / alpha) * alpha", anchors=("Celu",), rewrite=_rewrite)
