"""Pixels cast to float as a dequantisation, which compilers get right.

x (uint8) -> Cast(float) -> y    becomes    x -> DequantizeLinear(scale 1, zero point 0) -> y
"""

from __future__ import annotations

import numpy as np

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site

_FLOAT = 1


def _rewrite(site: Site) -> bool:
    if site.graph.dtype(site.x) != np.uint8 or site.whole("to", 0) != _FLOAT or site.constant(0) is not None:
        return False
    scale, zero = site.const(np.asarray(1, np.float32)), site.const(np.asarray(0, np.uint8))
    return site.give(site.op("DequantizeLinear", site.x, scale, zero))


PASS = Pass(
    name="cast_pixels",
    summary="Cast (uint8 to float) -> DequantizeLinear (scale 1)",
    anchors=("Cast",),
    moves=True,
    rewrite=_rewrite,
)
