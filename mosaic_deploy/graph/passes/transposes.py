"""Transposes in fewer dimensions."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise, permutations
from typing import TYPE_CHECKING

from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Shape, Site

if TYPE_CHECKING:
    import onnx

_FEW = 4
"""Dimensions that every target can transpose."""
_MOST = 6
"""Dimensions for which a sequence of Transposes is looked for."""


def _low_rank_transpose(site: Site) -> bool:
    """A Transpose of five dimensions or more in fewer, where some of its axes move together.

        x -> (Reshape) -> Transpose (N,g,c,H,W) (0,2,1,3,4) -> (Reshape) -> y    becomes
        x -> Reshape (N,g,c,H*W) -> Transpose (0,2,1,3) -> Reshape -> y

    Axes of side 1 go, and neighbours that stay neighbours merge: channel shuffles, windows of an attention.
    """
    found, after = _found(site), site.out_shape
    if found is None or after is None or len(found.sides) >= found.rank:
        return False
    x = site.op("Reshape", _source(site, found.transpose), site.sizes(found.sides))
    return site.replace_with(site.reshape(site.transpose(x, found.moves), after))


def _transpose_stepwise(site: Site) -> bool:
    """A Transpose of five or six dimensions as several of at most four.

        x -> Transpose (C,h,p,w,q) (1,3,2,4,0) -> y    becomes    x -> Reshape (C,h*p*w*q) -> Transpose (1,0)
          -> Reshape (h,p,w,q*C) -> Transpose (0,2,1,3) -> Reshape (h,w,p,q,C) -> y

    The fewest that do it: two for the windows of an attention.
    """
    found, after = _found(site), site.out_shape
    if found is None or after is None or not _FEW < len(found.sides) <= _MOST:
        return False
    x = _source(site, found.transpose)
    for low, order in steps(found.sides, found.moves):
        x = site.transpose(site.op("Reshape", x, site.sizes(low)), order)
    return site.replace_with(site.op("Reshape", x, site.sizes(after)))


@dataclass(frozen=True, slots=True)
class _Found:
    """A Transpose of many dimensions, and what it is with neighbours that stay neighbours merged."""

    transpose: onnx.NodeProto
    rank: int
    sides: Shape
    moves: Shape


def _found(site: Site) -> _Found | None:
    """The Transpose that a node is, or that a Reshape reads; None where a Reshape behind it has its turn."""
    transpose: onnx.NodeProto | None = site.node
    if site.node.op_type == "Reshape":
        transpose = site.graph.producer(site.x, "Transpose")
    else:
        reader = site.graph.only_consumer(site.node.output[0])
        if reader is not None and reader.op_type == "Reshape":
            return None
    shape = site.graph.shape(transpose.input[0]) if transpose is not None else None
    if transpose is None or shape is None or len(shape) <= _FEW:
        return None
    perm = Site(transpose, site.graph).attr_ints("perm", range(len(shape) - 1, -1, -1))
    return _Found(transpose, len(shape), *merged(shape, perm))


def _source(site: Site, transpose: onnx.NodeProto) -> str:
    """What a Transpose reads, before a Reshape; both are replaced."""
    if transpose is not site.node:
        site.also_replaces(transpose)
    reshape = site.graph.producer(transpose.input[0], "Reshape")
    if reshape is None:
        return str(transpose.input[0])
    site.also_replaces(reshape)
    return str(reshape.input[0])


def merged(shape: Shape, perm: Shape) -> tuple[Shape, Shape]:
    """Merge axes that a permutation leaves side by side; returns the new shape and permutation."""
    order = [axis for axis in perm if shape[axis] != 1]
    runs: list[list[int]] = []
    gone = [axis for axis in range(len(shape)) if shape[axis] == 1]
    for axis in order:
        previous = runs[-1][-1] if runs else None
        between = range(previous + 1, axis) if previous is not None else ()
        if previous is not None and axis > previous and all(a in gone for a in between):
            runs[-1].append(axis)
        else:
            runs.append([axis])
    places = sorted(runs)
    sides = tuple(math.prod(shape[axis] for axis in run) for run in places)
    return sides or (1,), tuple(places.index(run) for run in runs) or (0,)


def steps(shape: Shape, perm: Shape) -> list[tuple[Shape, Shape]]:
    """The fewest Transposes of at most four dimensions that make a permutation: each with what it turns."""
    start = tuple(range(len(shape)))
    ways: dict[Shape, list[tuple[Shape, Shape]]] = {start: []}
    queue = deque([start])
    while perm not in ways:
        held = queue.popleft()
        for blocks, order in _turns(len(shape)):
            turned = tuple(held[place] for block in order for place in blocks[block])
            if turned not in ways:
                sides = tuple(math.prod(shape[held[place]] for place in block) for block in blocks)
                ways[turned] = [*ways[held], (sides, order)]
                queue.append(turned)
    return ways[perm]


@cache
def _turns(rank: int) -> list[tuple[list[range], Shape]]:
    """Every way to cut so many axes into two to four blocks, and every new order of these."""
    cuts = (cut for count in range(1, _FEW) for cut in combinations(range(1, rank), count))
    parts = [[range(a, b) for a, b in pairwise((0, *cut, rank))] for cut in cuts]
    return [(blocks, order) for blocks in parts for order in permutations(range(len(blocks)))]


LOW_RANK_TRANSPOSE = Pass(
    name="low_rank_transpose",
    summary="Transpose of 5 dimensions or more -> Reshape, Transpose of fewer, Reshape",
    anchors=("Transpose", "Reshape"),
    resolves=("Reshape", "Transpose"),
    bit_exact=True,
    requires=("pixel_shuffle", "parts_low_rank"),
    rewrite=_low_rank_transpose,
)
TRANSPOSE_STEPWISE = Pass(
    name="transpose_stepwise",
    summary="Transpose of 5 or 6 dimensions -> several of at most 4, with Reshapes",
    anchors=("Transpose", "Reshape"),
    resolves=("Reshape", "Transpose"),
    bit_exact=True,
    requires=("low_rank_transpose", "shuffle_conv"),
    rewrite=_transpose_stepwise,
)
