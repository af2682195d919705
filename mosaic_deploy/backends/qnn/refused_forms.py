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


def _norm_divided(site: Site) -> bool:
    """A root of summed squares for a ReduceL2 that is divided by something, which ends in QNN's MEM_ALLOC."""
    norm = site.node.output[0]
    divided = any(user.op_type == "Div" and user.input[0] == norm for user in site.graph.consumers(norm))
    return divided and REDUCE_FORMS.rewrite(site)


AVERAGE_OVERSHOOTING = Pass(
    name="average_overshooting",
    summary="AveragePool (ceil_mode) -> depthwise Conv, Mul by a constant",
    anchors=("AveragePool",),
    rewrite=_average_overshooting,
)
NORM_DIVIDED = Pass(
    name="norm_divided",
    summary="ReduceL2, Div -> Mul, ReduceSum, Sqrt, Div",
    anchors=("ReduceL2",),
    rewrite=_norm_divided,
)
