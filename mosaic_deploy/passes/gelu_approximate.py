"""GELU by its tanh approximation. Lossy: off by 5e-4 at most.

x -> Gelu -> y                         becomes
y = x * 0.5 * (1 + Erf(x / sqrt 2))    becomes
y = 0.5 * x * (1 + Tanh(0.79788 * (x + 0.044715 * x * x * x)))
"""

from __future__ import annotations

from mosaic_deploy.passes._gelu import erf_form
from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site
from mosaic_deploy.passes.gelu_tanh import write_out


def _rewrite(site: Site) -> bool:
    if site.node.op_type == "Gelu":
        return site.text("approximate", "none") == "none" and site.give(write_out(site, site.x))
    found = erf_form(site.node, site.graph)
    if found is None:
        return False
    x, nodes = found
    site.covers(*nodes)
    return site.give(write_out(site, x))


PASS = Pass(
    name="gelu_approximate",
    summary="Gelu or its Erf form -> 0.5 * x * (1 + Tanh(...))",
    anchors=("Gelu", "Mul"),
    cures=("Gelu", "Erf"),
    exact=False,
    requires=("gelu_fused", "gelu_erf", "gelu_tanh"),
    rewrite=_rewrite,
)
