"""Gather and Split with slices."""

from __future__ import annotations

from collections.abc import Sequence

from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Site


def _split_sizes(site: Site) -> bool:
    """A Split that counts its parts, with their sizes.

    x -> Split(num_outputs=3) -> a, b, c    becomes    x -> Split(sizes) -> a, b, c
    """
    shape = site.shape()
    stated = site.input(1) or site.attr_ints("split")
    if shape is None or stated:
        return False
    axis, count = site.attr_int("axis", 0), len(site.node.output)
    side = shape[axis]
    part = -(-side // count)
    if site.attr_int("num_outputs", count) != count or not 0 < side - part * (count - 1) <= part:
        return False
    return site.replace_with(
        *site.split(site.x, [part] * (count - 1) + [side - part * (count - 1)], axis=axis)
    )


SPLIT_SIZES = Pass(
    name="split_sizes",
    summary="Split (num_outputs) -> Split with sizes",
    anchors=("Split",),
    bit_exact=True,
    rewrite=_split_sizes,
)


def _split_slices(site: Site) -> bool:
    """A Split as one Slice per part.

    x -> Split -> a, b    becomes    a = Slice(x), b = Slice(x)
    """
    outputs = [site.graph.shape(name) for name in site.node.output]
    if site.shape() is None or any(shape is None for shape in outputs) or not all(site.node.output):
        return False
    axis, start, parts = site.attr_int("axis", 0), 0, []
    for shape in outputs:
        side = shape[axis] if shape is not None else 0
        parts.append(site.slice(site.x, start, start + side, axis=axis))
        start += side
    return site.replace_with(*parts)


SPLIT_SLICES = Pass(
    name="split_slices",
    summary="Split -> one Slice per part",
    anchors=("Split",),
    bit_exact=True,
    requires=("split_sizes",),
    rewrite=_split_slices,
)

_MOST = 16


def _gather_slices(site: Site) -> bool:
    """A Gather with constant indices as slices.

        Gather(x, 2)            becomes    Slice(x, 2:3) -> Reshape without that axis
        Gather(x, [4, 5, 6])    becomes    Slice(x, 4:7)
        Gather(x, [5, 0, 1])    becomes    Concat(Slice(x, 5:6), Slice(x, 0:2))

    Up to 16 slices.
    """
    shape, after, indices = site.shape(), site.out_shape, site.constant(1)
    if shape is None or after is None or indices is None or not indices.size:
        return False
    axis = site.attr_int("axis", 0) % len(shape)
    found = runs([int(index) % shape[axis] for index in indices.reshape(-1)])
    if len(found) > _MOST:
        return False
    parts = [site.slice(site.x, first, end, axis=axis) for first, end in found]
    y = site.op("Concat", *parts, axis=axis) if len(parts) > 1 else parts[0]
    return site.replace_with(y if indices.ndim == 1 else site.op("Reshape", y, site.sizes(after)))


def runs(indices: Sequence[int]) -> list[tuple[int, int]]:
    """Cut indices into stretches that count up by one: first, and one past the last."""
    found: list[tuple[int, int]] = []
    for index in indices:
        if found and found[-1][1] == index:
            found[-1] = (found[-1][0], index + 1)
        else:
            found.append((index, index + 1))
    return found


GATHER_SLICES = Pass(
    name="gather_slices",
    summary="Gather (constant indices) -> Slice, Concat",
    anchors=("Gather",),
    bit_exact=True,
    requires=("adaptive_pool",),
    rewrite=_gather_slices,
)
