"""Erf, where it is no GELU, by a tanh. Lossy: off by 4e-4 at most.

x -> Erf -> y    becomes    y = Tanh(1.12838 * x + 0.10091 * x * x * x)
"""

from __future__ import annotations

import math

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site

_SLOPE = 2 / math.sqrt(math.pi)
_CUBE = _SLOPE * 0.044715 * 2


def _rewrite(site: Site) -> bool:
    square = site.op("Mul", site.x, site.x)
    factor = site.op("Add", site.op("Mul", square, site.number(_CUBE)), site.number(_SLOPE))
    return site.give(site.op("Tanh", site.op("Mul", site.x, factor)))


PASS = Pass(
    name="erf",
    summary="Erf -> Tanh(1.12838 * x + 0.10091 * x * x * x)",
    anchors=("Erf",),
    exact=False,
    requires=("gelu_fused", "gelu_approximate"),
    rewrite=_rewrite,
)
