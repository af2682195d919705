"""AveragePool with ceil_mode, whose last windows overshoot the image, with padding and a correction.

    x -> AveragePool(ceil_mode=1) -> y    becomes    x -> AveragePool(pads, all counted) -> Mul(constant) -> y

The constant says by how much a window's sum was divided too often. Where no window overshoots, the flag alone
goes.
"""

from __future__ import annotations

import numpy as np

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._pools import read_windows
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    pool = read_windows(site)
    if not site.whole("ceil_mode", 0) or pool is None or pool.dilations != (1, 1):
        return False
    include = bool(site.whole("count_include_pad", 0))
    ends = [end + more for end, more in zip(pool.ends, pool.overshoot, strict=True)]
    if any(end >= k for end, k in zip(ends, pool.kernel, strict=True)):
        return False
    form = {"kernel_shape": pool.kernel, "strides": pool.strides, "pads": (*pool.begins, *ends)}
    if not any(pool.overshoot):
        return site.give(site.op("AveragePool", site.x, count_include_pad=int(include), **form))
    y = site.op("AveragePool", site.x, count_include_pad=1, **form)
    rows, columns = (pool.counts(axis, padding=include) for axis in (0, 1))
    factor = np.prod(pool.kernel) / (rows[:, None] * columns[None, :])
    return site.give(site.op("Mul", y, site.const(factor[None, None].astype(site.dtype))))


PASS = Pass(
    name="average_pool_ceil",
    summary="AveragePool (ceil_mode) -> AveragePool with padding, Mul by a constant",
    anchors=("AveragePool",),
    rewrite=_rewrite,
)
