"""Channels in another order, written with what targets have."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Shape, Site

_LARGEST = 1 << 20
"""Numbers in the weights of a convolution that only moves channels."""


def _order(site: Site) -> tuple[Shape, NDArray[np.int64]] | None:
    """Shape of an image, and which of its channels a Gather picks; None for any other Gather."""
    shape, indices = site.shape(), site.constant(1)
    if shape is None or len(shape) != 4 or 0 in shape or indices is None or indices.ndim != 1:
        return None
    count = shape[1]
    if site.attr_int("axis", 0) not in (1, -3) or not indices.size:
        return None
    if indices.min() < -count or indices.max() >= count:
        return None
    return shape, indices.astype(np.int64) % count


def _gather_shuffle(site: Site) -> bool:
    """A shuffle of channels, as ShuffleNet has it, as a transposition of its groups.

        x (1,g*n,h,w) -> Gather(0, n, 2n, ... 1, n + 1, ...) -> y    becomes
        Reshape (g,n,h,w) -> Transpose (1,0,2,3) -> Reshape (1,g*n,h,w)

    More images than one have a dimension of their own.
    """
    found = _order(site)
    if found is None:
        return False
    shape, order = found
    images, count, height, width = shape
    if order.size != count or count < 4 or not 1 < (inner := int(order[1])) < count or count % inner:
        return False
    groups = count // inner
    if not np.array_equal(order, np.arange(count).reshape(groups, inner).T.reshape(-1)):
        return False
    lead = () if images == 1 else (images,)
    parted = site.op("Reshape", site.x, site.sizes((*lead, groups, inner, height, width)))
    turn = [*range(len(lead)), len(lead) + 1, len(lead), len(lead) + 2, len(lead) + 3]
    return site.replace_with(site.op("Reshape", site.transpose(parted, turn), site.sizes(shape)))


GATHER_SHUFFLE = Pass(
    name="gather_shuffle",
    summary="Gather (channels in turn from each group) -> Reshape, Transpose, Reshape",
    anchors=("Gather",),
    bit_exact=True,
    requires=("adaptive_pool",),
    rewrite=_gather_shuffle,
)


def _gather_conv(site: Site) -> bool:
    """Channels in any order as a convolution that moves them.

    x (N,C,h,w) -> Gather(channels) -> y    becomes    Conv(1x1) whose weights are ones and zeros
    """
    found = _order(site)
    if found is None or not site.floating:
        return False
    shape, order = found
    if shape[1] * order.size > _LARGEST:
        return False
    weight = np.zeros((order.size, shape[1], 1, 1), site.dtype)
    weight[np.arange(order.size), order] = 1
    return site.replace_with(site.op("Conv", site.x, site.const(weight)))


GATHER_CONV = Pass(
    name="gather_conv",
    summary="Gather (channels) -> Conv (1x1, of ones and zeros)",
    anchors=("Gather",),
    bit_exact=True,
    requires=("gather_shuffle", "gather_slices"),
    rewrite=_gather_conv,
)


def _shuffle_conv(site: Site) -> bool:
    """A shuffle of channels by Reshape and Transpose as a convolution that moves them.

    x (N,g*n,h,w) -> Reshape (N,g,n,h,w) -> Transpose (0,2,1,3,4) -> Reshape (N,g*n,h,w) -> y    becomes
    Conv(1x1) whose weights are ones and zeros
    """
    turn = site.graph.producer(site.x, "Transpose")
    part = site.graph.producer(turn.input[0], "Reshape") if turn is not None else None
    after = site.out_shape
    if turn is None or part is None or after is None or len(after) != 4 or 0 in after or not site.floating:
        return False
    x, middle = part.input[0], site.graph.shape(turn.input[0])
    perm, count = Site(turn, site.graph).attr_ints("perm"), after[1]
    if site.graph.shape(x) != after or middle is None or count * count > _LARGEST:
        return False
    groups = _turned(middle, perm, after)
    if groups is None:
        return False
    site.also_replaces(turn, part)
    weight = np.zeros((count, count, 1, 1), site.dtype)
    weight[np.arange(count), np.arange(count).reshape(groups, -1).T.reshape(-1)] = 1
    return site.replace_with(site.op("Conv", x, site.const(weight)))


def _turned(middle: Shape, perm: Shape, image: Shape) -> int | None:
    """How many groups of channels a Transpose turns about and nothing else; None for any other."""
    for lead in (1, 0):  # one image may have no dimension
        sides = middle[lead:]
        if len(sides) < 3 or middle[:lead] != image[:lead] or (not lead and image[0] != 1):
            continue
        turned = (*range(lead), lead + 1, lead, *range(lead + 2, len(middle)))
        if (
            perm == turned
            and sides[0] * sides[1] == image[1]
            and math.prod(sides[2:]) == math.prod(image[2:])
        ):
            return sides[0]
    return None


SHUFFLE_CONV = Pass(
    name="shuffle_conv",
    summary="Reshape, Transpose of groups of channels, Reshape -> Conv (1x1, of ones and zeros)",
    anchors=("Reshape",),
    resolves=("Reshape", "Transpose"),
    bit_exact=True,
    requires=("pixel_shuffle", "low_rank_transpose"),
    rewrite=_shuffle_conv,
)
