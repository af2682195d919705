"""A Split as one Slice per part.

x -> Split -> a, b    becomes    a = Slice(x), b = Slice(x)
"""

from __future__ import annotations

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    outputs = [site.graph.shape(name) for name in site.node.output]
    if site.shape() is None or any(shape is None for shape in outputs) or not all(site.node.output):
        return False
    axis, start, parts = site.whole("axis", 0), 0, []
    for shape in outputs:
        side = shape[axis] if shape is not None else 0
        parts.append(site.slice(site.x, start, start + side, axis=axis))
        start += side
    return site.give(*parts)


PASS = Pass(
    name="split_slices",
    summary="Split -> one Slice per part",
    anchors=("Split",),
    moves=True,
    requires=("split_sizes",),
    rewrite=_rewrite,
)
