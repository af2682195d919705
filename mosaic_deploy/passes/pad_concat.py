"""Pad with a constant as constants put beside the image.

x -> Pad(0) -> y    becomes, per axis,    y = Concat(zeros, x, zeros)
"""

from __future__ import annotations

import numpy as np

from mosaic_deploy.passes._pads import read_pads
from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site

_LARGEST = 1 << 20  # numbers in the constants


def _rewrite(site: Site) -> bool:
    ends, shape = read_pads(site), site.shape()
    value = site.constant(2) if site.input(2) else np.zeros(1)
    if ends is None or shape is None or value is None or site.text("mode", "constant") != "constant":
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
    return y != site.x and site.give(y)


PASS = Pass(
    name="pad_concat",
    summary="Pad (constant) -> Concat with constants",
    anchors=("Pad",),
    moves=True,
    requires=("pad_merged",),
    rewrite=_rewrite,
)
