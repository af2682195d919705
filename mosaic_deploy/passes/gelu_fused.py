"""GELU that an exporter wrote out, as one node.

    y = x * 0.5 * (1 + Erf(x / sqrt 2))    becomes    x -> Gelu -> y

Needs opset 20; a model of opset 18 or 19 is raised to it if all its nodes mean the same there.
"""

from __future__ import annotations

from mosaic_deploy.passes._gelu import erf_form
from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    found = erf_form(site.node, site.graph)
    if found is None or not site.require_opset(20):
        return False
    x, nodes = found
    site.covers(*nodes)
    return site.give(site.op("Gelu", x))


PASS = Pass(
    name="gelu_fused",
    summary="x * 0.5 * (1 + Erf(x / sqrt 2)) -> Gelu (opset 20)",
    anchors=("Mul",),
    cures=("Erf",),
    rewrite=_rewrite,
)
