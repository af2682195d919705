"""Softsign with a division.

x -> Softsign -> y    becomes    y = x / (1 + Abs(x))
"""

from __future__ import annotations

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    return site.give(site.op("Div", site.x, site.op("Add", site.op("Abs", site.x), site.number(1))))


PASS = Pass(
    name="softsign",
    summary="Softsign -> x / (1 + Abs(x))",
    anchors=("Softsign",),
    rewrite=_rewrite,
)
