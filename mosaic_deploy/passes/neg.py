"""Neg as a multiplication.

x -> Neg -> y    becomes    y = x * -1
"""

from __future__ import annotations

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    return site.floating and site.give(site.op("Mul", site.x, site.number(-1)))


PASS = Pass(name="neg", summary="Neg -> x * -1", anchors=("Neg",), moves=True, rewrite=_rewrite)
