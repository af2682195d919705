"""Average pools that OpenVINO gets wrong in integers, as convolutions."""

from __future__ import annotations

from mosaic_deploy.graph.passes import Pass, Site
from mosaic_deploy.graph.passes.pools import AVERAGE_POOL_DEPTHWISE, read_windows


def _convolve(site: Site) -> bool:
    """An average that counts zeros around the image, its own or a Pad's, as a depthwise convolution.

        x -> AveragePool(pads, count_include_pad=1) -> y    becomes    x -> Conv(1 / k^2, pads) -> y
        x -> Pad(0) -> AveragePool -> y                     becomes    x -> Pad(0) -> Conv(1 / k^2) -> y

    OpenVINO 2026.4.1 makes the first of the second, wrongly where the border is as wide as a window, and in
    integers pads by the integer 0, which stands for the lowest number: that is right behind a Relu alone.
    """
    pool, pad = read_windows(site), site.graph.producer(site.x, "Pad")
    if pool is None or any(pool.overshoot):
        return False
    pads = any((*pool.begins, *pool.ends))
    counted = site.attr_int("count_include_pad", 0) if pads else pad is not None
    rectified = site.graph.producer(site.x, "Relu") is not None
    if not counted or rectified:
        return False
    return AVERAGE_POOL_DEPTHWISE.rewrite(site)


COUNTED_POOLS = Pass(
    name="counted_pools",
    summary="AveragePool (count_include_pad), or behind a Pad -> depthwise Conv",
    anchors=("AveragePool",),
    rewrite=_convolve,
)
