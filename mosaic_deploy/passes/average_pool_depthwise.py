"""A dilated or unusually padded AveragePool as a depthwise convolution.

    x -> AveragePool(k, dilations, pads) -> y    becomes    x -> Conv(1 / k^2, group = channels) -> (Mul) -> y

Where padding is not counted, the border is multiplied up by a constant.
"""

from __future__ import annotations

import numpy as np

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._pools import read_windows
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    pool, shape = read_windows(site), site.shape()
    if pool is None or shape is None or not site.floating:
        return False
    include = bool(site.whole("count_include_pad", 0))
    ends = [end + more for end, more in zip(pool.ends, pool.overshoot, strict=True)]
    weights = np.full((shape[1], 1, *pool.kernel), 1 / np.prod(pool.kernel), site.dtype)
    y = site.op(
        "Conv",
        site.x,
        site.const(weights),
        group=shape[1],
        kernel_shape=pool.kernel,
        strides=pool.strides,
        dilations=pool.dilations,
        pads=(*pool.begins, *ends),
    )
    rows, columns = (pool.counts(axis, padding=include) for axis in (0, 1))
    factor = np.prod(pool.kernel) / (rows[:, None] * columns[None, :])
    if (factor != 1).any():
        y = site.op("Mul", y, site.const(factor[None, None].astype(site.dtype)))
    return site.give(y)


PASS = Pass(
    name="average_pool_depthwise",
    summary="AveragePool (dilated) -> depthwise Conv, (Mul by a constant)",
    anchors=("AveragePool",),
    requires=("average_pool_ceil",),
    rewrite=_rewrite,
)
