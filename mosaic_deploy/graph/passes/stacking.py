"""Tensors put side by side along an axis of their own."""

from __future__ import annotations

import math

from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Shape, Site

_FEW = 4


def _concat_low_rank(site: Site) -> bool:
    """A Concat on five dimensions or more, in four.

        a, b (k,l,m,n) -> Unsqueeze(0) -> Concat(0) -> y (2,k,l,m,n)
    becomes
        a, b -> Concat(0) (2*k,l,m,n) -> Reshape (2,k,l,m,n)

    Blocks that lie side by side along an axis do so along that axis and the next taken as one. What has
    been unsqueezed or reshaped from such few dimensions is read as it was before.
    """
    after = site.out_shape
    shapes = [site.shape(index) for index in range(len(site.node.input))]
    if after is None or len(after) <= _FEW or any(shape is None for shape in shapes):
        return False
    axis = site.attr_int("axis", 0) % len(after)
    merged = [_merged(shape, axis) for shape in shapes if shape is not None]
    parts = [_before(site, name, low) for name, (low, _) in zip(site.node.input, merged, strict=True)]
    joined = site.op("Concat", *parts, axis=merged[0][1])
    return site.replace_with(site.op("Reshape", joined, site.sizes(after)))


def _merged(shape: Shape, axis: int) -> tuple[Shape, int]:
    """Four dimensions of the same numbers in the same order, and which of them is now the axis."""
    sides = list(shape)
    while len(sides) > _FEW:
        first = axis if axis + 1 < len(sides) else 0
        sides[first : first + 2] = [math.prod(sides[first : first + 2])]
        axis -= first < axis
    return tuple(sides), axis


def _before(site: Site, name: str, low: Shape) -> str:
    maker = site.graph.producer(name, "Unsqueeze", "Reshape")
    if maker is not None and site.graph.shape(maker.input[0]) == low:
        if site.graph.only_consumer(name) is site.node:
            site.also_replaces(maker)
        return str(maker.input[0])
    return site.reshape(name, low)


CONCAT_LOW_RANK = Pass(
    name="concat_low_rank",
    summary="Unsqueeze, Concat on 5 dimensions or more -> Concat on 4, Reshape",
    anchors=("Concat",),
    bit_exact=True,
    requires=("stacked_sum",),
    rewrite=_concat_low_rank,
)
