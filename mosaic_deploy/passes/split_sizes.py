"""A Split that counts its parts, with their sizes.

x -> Split(num_outputs=3) -> a, b, c    becomes    x -> Split(sizes) -> a, b, c
"""

from __future__ import annotations

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    shape = site.shape()
    stated = site.input(1) or site.numbers("split")
    if shape is None or stated:
        return False
    axis, count = site.whole("axis", 0), len(site.node.output)
    side = shape[axis]
    part = -(-side // count)
    if site.whole("num_outputs", count) != count or not 0 < side - part * (count - 1) <= part:
        return False
    return site.give(*site.split(site.x, [part] * (count - 1) + [side - part * (count - 1)], axis=axis))


PASS = Pass(
    name="split_sizes",
    summary="Split (num_outputs) -> Split with sizes",
    anchors=("Split",),
    moves=True,
    rewrite=_rewrite,
)
