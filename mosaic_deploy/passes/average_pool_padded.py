"""An AveragePool that counts its padding, with the padding before it.

x -> AveragePool(pads, count_include_pad=1) -> y    becomes    x -> Pad(0) -> AveragePool -> y
"""

from __future__ import annotations

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._pools import read_windows
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    pool = read_windows(site)
    counted = site.whole("count_include_pad", 0)
    if pool is None or not counted or not any((*pool.begins, *pool.ends)):
        return False
    if site.whole("ceil_mode", 0) or pool.dilations != (1, 1):
        return False
    pads = [0, 0, *pool.begins, 0, 0, *pool.ends]
    padded = site.op("Pad", site.x, site.sizes(pads))
    return site.give(site.op("AveragePool", padded, kernel_shape=pool.kernel, strides=pool.strides))


PASS = Pass(
    name="average_pool_padded",
    summary="AveragePool (count_include_pad) -> Pad, AveragePool",
    anchors=("AveragePool",),
    requires=("average_pool_ceil",),
    rewrite=_rewrite,
)
