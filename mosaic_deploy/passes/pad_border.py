"""Pad with mode edge or reflect as slices of the border.

x -> Pad(edge) -> y    becomes, per axis,    y = Concat(first, first, x, last)
x -> Pad(reflect) -> y    becomes, per axis,    y = Concat(x[2], x[1], x, x[-2])
"""

from __future__ import annotations

from mosaic_deploy.passes._pads import read_pads
from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site

_MOST = 64  # slices


def _rewrite(site: Site) -> bool:
    ends, shape, mode = read_pads(site), site.shape(), site.text("mode", "constant")
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
    return site.give(y)


PASS = Pass(
    name="pad_border",
    summary="Pad (edge, reflect) -> Slice, Concat",
    anchors=("Pad",),
    moves=True,
    rewrite=_rewrite,
)
