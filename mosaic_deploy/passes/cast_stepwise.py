"""A Cast that a compiler refuses, by way of 32-bit integers.

x (float or uint8) -> Cast(int8 or int64) -> y    becomes    x -> Cast(int32) -> Cast -> y
"""

from __future__ import annotations

import numpy as np

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site

_INT32, _INT64 = 6, 7


def _rewrite(site: Site) -> bool:
    before = site.graph.dtype(site.x)
    to = site.whole("to", 0)
    if before is None or before not in (np.float32, np.float16, np.uint8, np.bool_) or to not in (3, _INT64):
        return False
    if to == _INT64 and np.issubdtype(before, np.floating):
        return False  # numbers beyond 32 bits would differ
    return site.give(site.op("Cast", site.op("Cast", site.x, to=_INT32), to=to))


PASS = Pass(
    name="cast_stepwise",
    summary="Cast -> Cast to int32, Cast",
    anchors=("Cast",),
    moves=True,
    rewrite=_rewrite,
)
