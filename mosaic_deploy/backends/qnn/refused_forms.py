"""Forms that QNN's HTP gets wrong or does not compile (2.51), in others."""

from __future__ import annotations

from mosaic_deploy.graph.passes import Pass, Site
from mosaic_deploy.graph.passes.low_rank import REDUCE_FORMS
from mosaic_deploy.graph.passes.pools import AVERAGE_POOL_DEPTHWISE, read_windows


def _average_overshooting(site: Site) -> bool:
    """An average whose last windows reach beyond the image, with ceil_mode, as a depthwise convolution.

    On v75 it divides by all of the window.
    """
    pool = read_windows(site)
    return pool is not None and any(pool.overshoot) and AVERAGE_POOL_DEPTHWISE.rewrite(site)


def _maximum_of_eight(site: Site) -> bool:
    """A maximum of 8x8 in steps of 8 as one of 4x4 and one of 2x2: wrong by half the range on v68 and v75.

    x -> MaxPool(8, 8) -> y    becomes    x -> MaxPool(4, 4) -> MaxPool(2, 2) -> y
    """
    pool = read_windows(site)
    if pool is None or (pool.kernel, pool.strides) != ((8, 8), (8, 8)) or site.attr_int("ceil_mode", 0):
        return False
    if pool.dilations != (1, 1) or any((*pool.begins, *pool.ends)) or len(site.node.output) > 1:
        return False
    four = site.op("MaxPool", site.x, kernel_shape=[4, 4], strides=[4, 4])
    return site.replace_with(site.op("MaxPool", four, kernel_shape=[2, 2], strides=[2, 2]))


AVERAGE_OVERSHOOTING = Pass(
    name="average_overshooting",
    summary="AveragePool (ceil_mode) -> depthwise Conv, Mul by a constant",
    anchors=("AveragePool",),
    rewrite=_average_overshooting,
)
NORM_OF_SQUARES = Pass(
    name="norm_of_squares",
    summary="ReduceL2 -> Mul, ReduceSum, Sqrt",
    anchors=("ReduceL2",),
    rewrite=REDUCE_FORMS.rewrite,
)
"""Beside a Div a ReduceL2 ends in QNN's MEM_ALLOC, or does not, as what is around it has it: attention across
channels with normalised queries, say."""
MAXIMUM_OF_EIGHT = Pass(
    name="maximum_of_eight",
    summary="MaxPool (8x8, strides of 8) -> MaxPool (4x4), MaxPool (2x2)",
    anchors=("MaxPool",),
    bit_exact=True,
    rewrite=_maximum_of_eight,
)
