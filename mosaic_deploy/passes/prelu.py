"""PRelu with two Relu.

x, slope -> PRelu -> y    becomes    y = Relu(x) + Relu(-x) * -slope
"""

from __future__ import annotations

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    slope = site.constant(1)
    if slope is None or not site.floating:
        return False
    below = site.op("Relu", site.op("Mul", site.x, site.number(-1)))
    part = site.op("Mul", below, site.const(-slope))
    return site.give(site.op("Add", site.op("Relu", site.x), part))


PASS = Pass(
    name="prelu",
    summary="PRelu -> Relu(x) - slope * Relu(-x)",
    anchors=("PRelu",),
    rewrite=_rewrite,
)
