"""Dropout and Identity, which do nothing at inference, removed.

x -> Dropout -> y    becomes    x = y
"""

from __future__ import annotations

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    training = site.input(2)
    if training:
        value = site.constant(2)
        if value is None or bool(value):
            return False
    if any(name and (site.graph.readers(name) or name in site.graph.fixed) for name in site.node.output[1:]):
        return False  # somebody wants the mask
    return site.give(site.x)


PASS = Pass(name="dropout", summary="Dropout -> nothing", anchors=("Dropout",), moves=True, rewrite=_rewrite)
