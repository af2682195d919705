"""A Transpose of five dimensions or more in fewer, where some of its axes move together.

    x -> (Reshape) -> Transpose (N,g,c,H,W) (0,2,1,3,4) -> (Reshape) -> y    becomes
    x -> Reshape (N,g,c,H*W) -> Transpose (0,2,1,3) -> Reshape -> y

Axes of side 1 go, and neighbours that stay neighbours merge: channel shuffles, windows of an attention.
"""

from __future__ import annotations

import math

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Shape, Site


def _rewrite(site: Site) -> bool:
    last = site.node
    transpose = last if last.op_type == "Transpose" else site.graph.maker(site.x, "Transpose")
    if transpose is None:
        return False
    if transpose is last:
        reader = site.graph.only_reader(last.output[0])
        if reader is not None and reader.op_type == "Reshape":
            return False  # it has its turn there
    inner = Site(transpose, site.graph)
    shape, after = inner.shape(), site.out_shape
    if shape is None or after is None or len(shape) < 5:
        return False
    perm = inner.numbers("perm", range(len(shape) - 1, -1, -1))
    sides, moves = merged(shape, perm)
    if len(sides) >= len(shape):
        return False
    x = inner.x
    reshape = site.graph.maker(x, "Reshape")
    if reshape is not None:
        site.covers(reshape)
        x = reshape.input[0]
    if transpose is not last:
        site.covers(transpose)
    return site.give(site.reshape(site.transpose(site.op("Reshape", x, site.sizes(sides)), moves), after))


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


PASS = Pass(
    name="low_rank_transpose",
    summary="Transpose of 5 dimensions or more -> Reshape, Transpose of fewer, Reshape",
    anchors=("Transpose", "Reshape"),
    cures=("Reshape", "Transpose"),
    moves=True,
    requires=("pixel_shuffle",),
    rewrite=_rewrite,
)
