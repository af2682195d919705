"""Gelu in its tanh approximation, written out.

x -> Gelu(approximate=tanh) -> y    becomes
y = 0.5 * x * (1 + Tanh(0.79788 * (x + 0.044715 * x * x * x)))
"""

from __future__ import annotations

import math

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def write_out(site: Site, x: str) -> str:
    """Draft the tanh form of GELU."""
    cube = site.op("Mul", site.op("Mul", x, x), x)
    inner = site.op("Add", x, site.op("Mul", cube, site.number(0.044715)))
    tanh = site.op("Tanh", site.op("Mul", inner, site.number(math.sqrt(2 / math.pi))))
    gate = site.op("Add", tanh, site.number(1))
    return site.op("Mul", site.op("Mul", x, site.number(0.5)), gate)


def _rewrite(site: Site) -> bool:
    return site.text("approximate", "none") == "tanh" and site.give(write_out(site, site.x))


PASS = Pass(
    name="gelu_tanh",
    summary="Gelu (tanh) -> 0.5 * x * (1 + Tanh(...))",
    anchors=("Gelu",),
    rewrite=_rewrite,
)
