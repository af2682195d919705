"""HardSwish with what every runtime has.

    x -> HardSwish -> y    becomes    y = x * Clip(x + 3, 0, 6) * (1 / 6)

The Clip from 0 to 6 is a ReLU6, which also targets without HardSwish run.
"""

from __future__ import annotations

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    moved = site.op("Add", site.x, site.number(3))
    gate = site.op("Clip", moved, site.number(0), site.number(6))
    return site.give(site.op("Mul", site.op("Mul", site.x, gate), site.number(1 / 6)))


PASS = Pass(
    name="hardswish",
    summary="HardSwish -> x * Clip(x + 3, 0, 6) / 6",
    anchors=("HardSwish",),
    rewrite=_rewrite,
)
