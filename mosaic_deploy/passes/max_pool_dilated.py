"""A dilated MaxPool as the maximum of shifted slices.

    x -> MaxPool(k, dilation d) -> y    becomes    y = Max of the k * k Slices of x, each d further

Its padding, of the lowest number there is, comes before.
"""

from __future__ import annotations

import numpy as np

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._pools import Windows, read_windows
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    pool = read_windows(site)
    if pool is None or all(d == 1 for d in pool.dilations) or len(site.node.output) != 1 or not site.floating:
        return False
    ends = [end + more for end, more in zip(pool.ends, pool.overshoot, strict=True)]
    x = site.x
    if any((*pool.begins, *ends)):
        pads = site.sizes([0, 0, *pool.begins, 0, 0, *ends])
        x = site.op("Pad", x, pads, site.number(float(np.finfo(site.dtype).min)))
    rows = [_shifted(site, pool, x, axis=0, tap=tap) for tap in range(pool.kernel[0])]
    tall = site.op("Max", *rows) if len(rows) > 1 else rows[0]
    columns = [_shifted(site, pool, tall, axis=1, tap=tap) for tap in range(pool.kernel[1])]
    return site.give(site.op("Max", *columns) if len(columns) > 1 else columns[0])


def _shifted(site: Site, pool: Windows, x: str, *, axis: int, tap: int) -> str:
    start = tap * pool.dilations[axis]
    end = start + (pool.after[axis] - 1) * pool.strides[axis] + 1
    return site.slice(x, start, end, axis=2 + axis, step=pool.strides[axis])


PASS = Pass(
    name="max_pool_dilated",
    summary="MaxPool (dilated) -> Max of Slices",
    anchors=("MaxPool",),
    moves=True,
    rewrite=_rewrite,
)
