"""HardSigmoid with what every runtime has.

    x -> HardSigmoid(alpha, beta) -> y    becomes    y = Clip(x * alpha + beta, 0, 1)

With alpha 1/6 and beta 1/2, as networks mostly have it, y = Clip(x + 3, 0, 6) * (1 / 6), a ReLU6.
"""

from __future__ import annotations

import math

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    alpha, beta = site.real("alpha", 0.2), site.real("beta", 0.5)
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and math.isclose(beta, 0.5, rel_tol=1e-6):
        moved = site.op("Add", site.x, site.number(3))
        gate = site.op("Clip", moved, site.number(0), site.number(6))
        return site.give(site.op("Mul", gate, site.number(1 / 6)))
    line = site.op("Add", site.op("Mul", site.x, site.number(alpha)), site.number(beta))
    return site.give(site.op("Clip", line, site.number(0), site.number(1)))


PASS = Pass(
    name="hardsigmoid",
    summary="HardSigmoid -> Clip(x * alpha + beta, 0, 1)",
    anchors=("HardSigmoid",),
    rewrite=_rewrite,
)
