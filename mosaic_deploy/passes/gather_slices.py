"""A Gather with constant indices as slices.

    Gather(x, 2)            becomes    Slice(x, 2:3) -> Reshape without that axis
    Gather(x, [4, 5, 6])    becomes    Slice(x, 4:7)
    Gather(x, [5, 0, 1])    becomes    Concat(Slice(x, 5:6), Slice(x, 0:2))

Up to 16 slices.
"""

from __future__ import annotations

from collections.abc import Sequence

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site

_MOST = 16


def _rewrite(site: Site) -> bool:
    shape, after, indices = site.shape(), site.out_shape, site.constant(1)
    if shape is None or after is None or indices is None or not indices.size:
        return False
    axis = site.whole("axis", 0) % len(shape)
    found = runs([int(index) % shape[axis] for index in indices.reshape(-1)])
    if len(found) > _MOST:
        return False
    parts = [site.slice(site.x, first, end, axis=axis) for first, end in found]
    y = site.op("Concat", *parts, axis=axis) if len(parts) > 1 else parts[0]
    return site.give(y if indices.ndim == 1 else site.op("Reshape", y, site.sizes(after)))


def runs(indices: Sequence[int]) -> list[tuple[int, int]]:
    """Cut indices into stretches that count up by one: first, and one past the last."""
    found: list[tuple[int, int]] = []
    for index in indices:
        if found and found[-1][1] == index:
            found[-1] = (found[-1][0], index + 1)
        else:
            found.append((index, index + 1))
    return found


PASS = Pass(
    name="gather_slices",
    summary="Gather (constant indices) -> Slice, Concat",
    anchors=("Gather",),
    moves=True,
    requires=("adaptive_pool",),
    rewrite=_rewrite,
)
