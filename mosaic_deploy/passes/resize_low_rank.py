"""A Resize of height and width alone, in four dimensions instead of five.

x (a,b,c,h,w) -> Resize(h, w) -> y    becomes    Reshape (a,b*c,h,w) -> Resize(h, w) -> Reshape -> y
"""

from __future__ import annotations

import math

from mosaic_deploy.passes._interpolation import resizing
from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    asked = resizing(site)
    if asked is None or len(asked.before) < 5 or asked.before[:-2] != asked.after[:-2]:
        return False
    if any(abs(s - a / b) > 1e-6 for s, a, b in zip(asked.scales, asked.after, asked.before, strict=True)):
        return False
    lead = (asked.before[0], math.prod(asked.before[1:-2]))
    low = site.reshape(site.x, (*lead, *asked.before[-2:]))
    name = site.op("Resize", low, "", "", site.sizes((*lead, *asked.after[-2:])))
    site.made[-1].attribute.extend(a for a in site.node.attribute if a.name != "axes")
    return site.give(site.reshape(name, asked.after))


PASS = Pass(
    name="resize_low_rank",
    summary="Resize on 5 dimensions -> Reshape, Resize on 4, Reshape",
    anchors=("Resize",),
    rewrite=_rewrite,
)
