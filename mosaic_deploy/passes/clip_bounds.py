"""A Clip in its shortest form, and as Min and Max where there is no Clip.

Clip(x, 0, nothing)    becomes    Relu(x)
Clip(x, a, b)          becomes    Min(Max(x, a), b)
"""

from __future__ import annotations

import math

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    low, high = (site.constant(i) if site.input(i) else None for i in (1, 2))
    if (site.input(1) and low is None) or (site.input(2) and high is None):
        return False
    bottom = -math.inf if low is None else float(low.reshape(()))
    top = math.inf if high is None else float(high.reshape(()))
    largest = 3.4e38
    if not site.floating or bottom > top:
        return False
    if bottom == 0 and top >= largest:
        return site.give(site.op("Relu", site.x))
    y = site.op("Max", site.x, site.number(bottom)) if bottom > -largest else site.x
    y = site.op("Min", y, site.number(top)) if top < largest else y
    return site.give(y)


PASS = Pass(
    name="clip_bounds",
    summary="Clip -> Relu, or Max and Min",
    anchors=("Clip",),
    moves=True,
    rewrite=_rewrite,
)
