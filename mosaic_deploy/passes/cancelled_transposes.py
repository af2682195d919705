"""Two Transposes that undo each other, removed; two that do not, as one.

x -> Transpose(p) -> Transpose(q) -> y    becomes    x -> Transpose(p then q) -> y
"""

from __future__ import annotations

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    first = site.graph.maker(site.x, "Transpose")
    shape = site.shape()
    if first is None or shape is None:
        return False
    backwards = range(len(shape) - 1, -1, -1)
    before = Site(first, site.graph).numbers("perm", backwards)
    perm = [before[axis] for axis in site.numbers("perm", backwards)]
    site.covers(first)
    return site.give(site.transpose(first.input[0], perm))


PASS = Pass(
    name="cancelled_transposes",
    summary="Transpose, Transpose -> one Transpose or none",
    anchors=("Transpose",),
    moves=True,
    rewrite=_rewrite,
)
