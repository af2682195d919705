"""A nearest Resize by a small whole factor with copies put side by side.

x (N,C,h,w) -> Resize(nearest, f) -> y    becomes
Concat of f * f copies along the channels -> DepthToSpace(f, DCR) -> y
"""

from __future__ import annotations

import numpy as np

from mosaic_deploy.passes._interpolation import resizing, sources
from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site

_MOST = 4


def _rewrite(site: Site) -> bool:
    asked = resizing(site)
    if (
        asked is None
        or asked.mode != "nearest"
        or len(asked.before) != 4
        or asked.before[:2] != asked.after[:2]
    ):
        return False
    factor, rest = divmod(asked.after[2], asked.before[2])
    if rest or not 2 <= factor <= _MOST or asked.after[3] != factor * asked.before[3]:
        return False
    for axis in (2, 3):
        if not np.array_equal(sources(asked, axis), np.arange(asked.after[axis]) // factor):
            return False
    copies = site.op("Concat", *[site.x] * (factor * factor), axis=1)
    return site.give(site.op("DepthToSpace", copies, blocksize=factor, mode="DCR"))


PASS = Pass(
    name="resize_concat",
    summary="Resize (nearest, by 2 to 4) -> Concat of copies, DepthToSpace",
    anchors=("Resize",),
    moves=True,
    requires=("resize_asymmetric",),
    rewrite=_rewrite,
)
