"""Sums over tensors that were stacked for it.

a, b, c (k,l,m,n) -> Unsqueeze(0) -> Concat(0) (3,k,l,m,n) -> ReduceSum(0) -> y    becomes    y = a + b + c
"""

from __future__ import annotations

from functools import reduce

from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Site


def _rewrite(site: Site) -> bool:
    stack = site.graph.producer(site.x, "Concat")
    shape, axes, after = site.shape(), site.constant(1), site.out_shape
    if stack is None or shape is None or axes is None or axes.size != 1 or after is None:
        return False
    axis = int(axes.ravel()[0]) % len(shape)
    joined = Site(stack, site.graph)
    parts = [joined.shape(index) for index in range(len(stack.input))]
    if joined.attr_int("axis", 0) % len(shape) != axis or any(p is None or p[axis] != 1 for p in parts):
        return False
    terms = [_term(site, str(name), after) for name in stack.input]
    site.also_replaces(stack)
    return site.replace_with(reduce(lambda total, term: site.op("Add", total, term), terms))


def _term(site: Site, name: str, after: tuple[int, ...]) -> str:
    maker = site.graph.producer(name, "Unsqueeze", "Reshape")
    if maker is not None and site.graph.shape(maker.input[0]) == after:
        site.also_replaces(maker)
        return str(maker.input[0])
    return site.reshape(name, after)


STACKED_SUM = Pass(
    name="stacked_sum",
    summary="Unsqueeze, Concat, ReduceSum over the new axis -> Add",
    anchors=("ReduceSum",),
    resolves=("Concat", "ReduceSum", "Reshape", "Unsqueeze"),
    rewrite=_rewrite,
)
