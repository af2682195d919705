"""Sums of absolute values and of squares with a plain sum.

ReduceL1(x)           becomes    ReduceSum(Abs(x))
ReduceL2(x)           becomes    Sqrt(ReduceSum(x * x))
ReduceSumSquare(x)    becomes    ReduceSum(x * x)
ReduceLogSum(x)       becomes    Log(ReduceSum(x))
"""

from __future__ import annotations

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    kind, shape, given = site.node.op_type, site.shape(), site.constant(1)
    if shape is None or (site.input(1) and given is None):
        return False
    axes = site.numbers("axes") if given is None else tuple(int(axis) for axis in given)
    if not axes:
        if site.whole("noop_with_empty_axes", 0):
            return False
        axes = tuple(range(len(shape)))
    x = site.x
    if kind == "ReduceL1":
        x = site.op("Abs", x)
    elif kind != "ReduceLogSum":
        x = site.op("Mul", x, x)
    y = site.reduce("ReduceSum", x, axes, keep=1 if site.whole("keepdims", 1) else 0)
    if kind == "ReduceL2":
        y = site.op("Sqrt", y)
    return site.give(site.op("Log", y) if kind == "ReduceLogSum" else y)


PASS = Pass(
    name="reduce_forms",
    summary="ReduceL1, ReduceL2, ReduceSumSquare, ReduceLogSum -> ReduceSum",
    anchors=("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum"),
    rewrite=_rewrite,
)
