"""Zeros of a Pad as the padding of the convolution behind it.

x -> Pad(0) -> Conv -> y    becomes    x -> Conv(pads) -> y
"""

from __future__ import annotations

from mosaic_deploy.passes._pads import read_pads
from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    pad = site.graph.maker(site.x, "Pad")
    if pad is None or site.text("auto_pad", "NOTSET") != "NOTSET":
        return False
    before = Site(pad, site.graph)
    ends = read_pads(before)
    value = before.constant(2) if before.input(2) else None
    if ends is None or before.text("mode", "constant") != "constant" or any(map(any, ends[:2])):
        return False
    if before.input(2) and (value is None or value.any()):
        return False
    count = len(ends) - 2
    old = site.numbers("pads", (0,) * (2 * count))
    pads = [old[i] + ends[2 + i][0] for i in range(count)]
    pads += [old[i + count] + ends[2 + i][1] for i in range(count)]
    name = site.op("Conv", before.x, *site.node.input[1:], pads=pads)
    site.made[-1].attribute.extend(a for a in site.node.attribute if a.name != "pads")
    site.covers(pad)
    return site.give(name)


PASS = Pass(
    name="pad_merged",
    summary="Pad, Conv -> Conv (pads)",
    anchors=("Conv",),
    cures=("Pad",),
    rewrite=_rewrite,
)
