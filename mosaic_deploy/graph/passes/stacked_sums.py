"""Sums, means and extremes over tensors that were stacked for it.

a, b, c (k,l,m,n) -> Unsqueeze(0) -> Concat(0) (3,k,l,m,n) -> ReduceSum(0) -> y    becomes    y = a + b + c
"""

from __future__ import annotations

from functools import reduce

from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Site

_KINDS = {"ReduceSum": "Add", "ReduceMean": "Add", "ReduceMax": "Max", "ReduceMin": "Min"}
"""Reduction -> the operator of two."""


def _rewrite(site: Site) -> bool:
    stack, given = site.graph.producer(site.x, "Concat"), site.constant(1)
    shape, after = site.shape(), site.out_shape
    axes = site.attr_ints("axes") if given is None else tuple(int(axis) for axis in given.ravel())
    if stack is None or shape is None or after is None or len(axes) != 1:
        return False
    axis = axes[0] % len(shape)
    joined = Site(stack, site.graph)
    parts = [joined.shape(index) for index in range(len(stack.input))]
    if joined.attr_int("axis", 0) % len(shape) != axis or any(p is None or p[axis] != 1 for p in parts):
        return False
    terms = [_term(site, str(name), after) for name in stack.input]
    site.also_replaces(stack)
    kind = _KINDS[site.node.op_type]
    found = reduce(lambda total, term: site.op(kind, total, term), terms)
    if site.node.op_type == "ReduceMean":
        found = site.op("Mul", found, site.number(1 / len(terms)))
    return site.replace_with(found)


def _term(site: Site, name: str, after: tuple[int, ...]) -> str:
    maker = site.graph.producer(name, "Unsqueeze", "Reshape")
    if maker is not None and site.graph.shape(maker.input[0]) == after:
        site.also_replaces(maker)
        return str(maker.input[0])
    return site.reshape(name, after)


STACKED_SUM = Pass(
    name="stacked_sum",
    summary="Unsqueeze, Concat, ReduceSum or ReduceMax over the new axis -> Add or Max",
    anchors=tuple(_KINDS),
    resolves=("Concat", *_KINDS, "Reshape", "Unsqueeze"),
    rewrite=_rewrite,
)
