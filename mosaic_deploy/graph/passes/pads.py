"""Pads merged, or written with what targets have."""

from __future__ import annotations

import numpy as np

from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Site

Ends = list[tuple[int, int]]


def read_pads(site: Site) -> Ends | None:
    """Pixels before and after each axis; None where they are not constants or some are negative."""
    shape, pads = site.shape(), site.constant(1)
    if shape is None or pads is None:
        return None
    axes = site.constant(3) if site.input(3) else None
    if site.input(3) and axes is None:
        return None
    chosen = range(len(shape)) if axes is None else [int(axis) % len(shape) for axis in axes.reshape(-1)]
    half = len(pads) // 2
    ends = [(0, 0)] * len(shape)
    for index, axis in enumerate(chosen):
        ends[axis] = (int(pads[index]), int(pads[index + half]))
    return ends if all(number >= 0 for pair in ends for number in pair) else None


def _pad_merged(site: Site) -> bool:
    """Zeros of a Pad as the padding of the convolution behind it.

    x -> Pad(0) -> Conv -> y    becomes    x -> Conv(pads) -> y
    """
    pad = site.graph.producer(site.x, "Pad")
    if pad is None or site.attr_str("auto_pad", "NOTSET") != "NOTSET":
        return False
    before = Site(pad, site.graph)
    ends = read_pads(before)
    value = before.constant(2) if before.input(2) else None
    if ends is None or before.attr_str("mode", "constant") != "constant" or any(map(any, ends[:2])):
        return False
    if before.input(2) and (value is None or value.any()):
        return False
    count = len(ends) - 2
    old = site.attr_ints("pads", (0,) * (2 * count))
    pads = [old[i] + ends[2 + i][0] for i in range(count)]
    pads += [old[i + count] + ends[2 + i][1] for i in range(count)]
    name = site.op("Conv", before.x, *site.node.input[1:], pads=pads)
    site.made[-1].attribute.extend(a for a in site.node.attribute if a.name != "pads")
    site.also_replaces(pad)
    return site.replace_with(name)


PAD_MERGED = Pass(
    name="pad_merged",
    summary="Pad, Conv -> Conv (pads)",
    anchors=("Conv",),
    resolves=("Pad",),
    rewrite=_pad_merged,
)

_MOST = 64  # slices


def _pad_border(site: Site) -> bool:
    """Pad with mode edge or reflect as slices of the border.

    x -> Pad(edge) -> y    becomes, per axis,    y = Concat(first, first, x, last)
    x -> Pad(reflect) -> y    becomes, per axis,    y = Concat(x[2], x[1], x, x[-2])
    """
    ends, shape, mode = read_pads(site), site.shape(), site.attr_str("mode", "constant")
    if ends is None or shape is None or mode not in ("edge", "reflect"):
        return False
    if not 0 < sum(map(sum, ends)) <= _MOST:
        return False
    y = site.x
    for axis, (begin, end) in enumerate(ends):
        side = shape[axis]
        if mode == "reflect" and max(begin, end) >= side:
            return False
        if begin or end:
            before = [0] * begin if mode == "edge" else list(range(begin, 0, -1))
            after = [side - 1] * end if mode == "edge" else list(range(side - 2, side - 2 - end, -1))
            parts = {at: site.slice(y, at, at + 1, axis=axis) for at in {*before, *after}}
            y = site.op("Concat", *(parts[at] for at in before), y, *(parts[at] for at in after), axis=axis)
    return site.replace_with(y)


PAD_BORDER = Pass(
    name="pad_border",
    summary="Pad (edge, reflect) -> Slice, Concat",
    anchors=("Pad",),
    bit_exact=True,
    rewrite=_pad_border,
)

_LARGEST = 1 << 20  # numbers in the constants


def _pad_concat(site: Site) -> bool:
    """Pad with a constant as constants put beside the image.

    x -> Pad(0) -> y    becomes, per axis,    y = Concat(zeros, x, zeros)
    """
    ends, shape = read_pads(site), site.shape()
    value = site.constant(2) if site.input(2) else np.zeros(1)
    if ends is None or shape is None or value is None or site.attr_str("mode", "constant") != "constant":
        return False
    sides, y, total = list(shape), site.x, 0
    for axis, pair in enumerate(ends):
        if not any(pair):
            continue
        blocks = [(*sides[:axis], count, *sides[axis + 1 :]) for count in pair]
        total += sum(int(np.prod(block)) for block in blocks)
        if total > _LARGEST:
            return False
        fills = [site.const(np.full(b, value.reshape(-1)[0], site.dtype)) if b[axis] else "" for b in blocks]
        y = site.op("Concat", *filter(None, (fills[0], y, fills[1])), axis=axis)
        sides[axis] += sum(pair)
    return y != site.x and site.replace_with(y)


PAD_CONCAT = Pass(
    name="pad_concat",
    summary="Pad (constant) -> Concat with constants",
    anchors=("Pad",),
    bit_exact=True,
    requires=("pad_merged",),
    rewrite=_pad_concat,
)
