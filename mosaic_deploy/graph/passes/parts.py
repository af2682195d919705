"""Parts of a tensor in fewer dimensions: queries, keys and values of an attention.

x (N,T,3*h*d) -> Reshape (N,T,3,h,d) -> Transpose (3,N,h,T,d) -> the i-th along the first axis    becomes
x -> Slice (N,T,h*d) -> Reshape (N,T,h,d) -> Transpose (N,h,T,d)

PyTorch's MultiheadAttention has a Squeeze before it takes the i-th.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Site

if TYPE_CHECKING:
    import onnx

    from mosaic_deploy.graph.passes._site import Shape

_LEAST_RANK = 5


def _rewrite(site: Site) -> bool:
    """The part is taken by Gather with one index, or by Split or Slice with a Squeeze or Reshape behind."""
    taken = _taken(site)
    if taken is None:
        return False
    whole, axis, place = taken
    whole, axis = _before_squeeze(site, whole, axis)
    transpose = site.graph.producer(whole, "Transpose")
    reshape = site.graph.producer(transpose.input[0], "Reshape") if transpose is not None else None
    if transpose is None or reshape is None:
        return False
    before, inner = site.graph.shape(reshape.input[0]), site.graph.shape(transpose.input[0])
    if before is None or inner is None or len(inner) < _LEAST_RANK:
        return False
    perm = Site(transpose, site.graph).attr_ints("perm", range(len(inner) - 1, -1, -1))
    parted = perm[axis]
    found = _outer_axis(before, inner, parted)
    after = site.out_shape
    if found is None or after is None:
        return False
    outer, step = found
    site.also_replaces(transpose, reshape)
    kept = [side for index, side in enumerate(inner) if index != parted]
    moves = [index - (index > parted) for index in perm if index != parted]
    part = site.slice(reshape.input[0], place * step, (place + 1) * step, axis=outer)
    turned = site.transpose(site.op("Reshape", part, site.sizes(kept)), moves)
    same = tuple(kept[move] for move in moves) == after
    return site.replace_with(turned if same else site.op("Reshape", turned, site.sizes(after)))


def _taken(site: Site) -> tuple[str, int, int] | None:
    """The tensor that a node takes one place of, along which axis, and which place."""
    node = site.node
    if node.op_type == "Gather":
        shape, index = site.shape(), site.constant(1)
        if shape is None or index is None or index.ndim:
            return None
        axis = site.attr_int("axis", 0) % len(shape)
        return site.x, axis, int(index) % shape[axis]
    taker = site.graph.producer(site.x, "Split") or site.graph.producer(site.x, "Slice")
    if taker is None:
        return None
    shape, one = site.graph.shape(taker.input[0]), site.shape()
    if shape is None or one is None or len(shape) != len(one):
        return None
    axes = [axis for axis, (a, b) in enumerate(zip(shape, one, strict=True)) if a != b]
    if len(axes) != 1 or one[axes[0]] != 1:
        return None
    place = _split_place(site, taker) if taker.op_type == "Split" else _slice_place(site, taker)
    if place is not None:
        site.also_replaces(taker)
    return None if place is None else (str(taker.input[0]), axes[0], place % shape[axes[0]])


def _before_squeeze(site: Site, name: str, axis: int) -> tuple[str, int]:
    """The tensor that a Squeeze made this one of, and where an axis was in it; the same without a Squeeze."""
    squeeze = site.graph.producer(name, "Squeeze")
    before = site.graph.shape(squeeze.input[0]) if squeeze is not None else None
    if squeeze is None or before is None:
        return name, axis
    node = Site(squeeze, site.graph)
    stated = node.constant(1)
    gone = node.attr_ints("axes") if stated is None else tuple(stated.reshape(-1).tolist())
    gone = tuple(each % len(before) for each in gone) or tuple(
        i for i, side in enumerate(before) if side == 1
    )
    site.also_replaces(squeeze)
    return str(squeeze.input[0]), [i for i in range(len(before)) if i not in gone][axis]


def _split_place(site: Site, split: onnx.NodeProto) -> int | None:
    shapes = [site.graph.shape(name) for name in split.output]
    place = [*split.output].index(site.x)
    return place if all(shape == site.shape() for shape in shapes) else None


def _slice_place(site: Site, node: onnx.NodeProto) -> int | None:
    start = Site(node, site.graph).constant(1)
    steps = Site(node, site.graph).constant(4)
    forwards = steps is None or (steps == 1).all()
    return int(start[0]) if start is not None and start.size == 1 and forwards else None


def _outer_axis(before: Shape, inner: Shape, parted: int) -> tuple[int, int] | None:
    """The axis of ``before`` whose outermost factor became ``parted``, and a part's length along it."""
    done = 0
    for axis, side in enumerate(before):
        first, product = done, 1
        while done < len(inner) and (product < side or (product == side == 1 and done == first)):
            product *= inner[done]
            done += 1
        if product != side:
            return None
        if first == parted and done > first:
            return axis, math.prod(inner[first + 1 : done])
    return None


PARTS_LOW_RANK = Pass(
    name="parts_low_rank",
    summary="One place of a transposed Reshape of 5 dimensions or more -> Slice, Reshape, Transpose of fewer",
    anchors=("Gather", "Squeeze", "Reshape"),
    resolves=("Gather", "Reshape", "Slice", "Split", "Squeeze", "Transpose"),
    bit_exact=True,
    rewrite=_rewrite,
)
