"""InstanceNormalization written out.

x (N,C,...) -> InstanceNormalization(scale, bias) -> y    becomes
y = (x - ReduceMean(x)) / Sqrt(ReduceMean((x - ReduceMean(x)) ^ 2) + epsilon) * scale + bias
"""

from __future__ import annotations

from mosaic_deploy.passes._normalise import normalise
from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    shape, scale, bias = site.shape(), site.constant(1), site.constant(2)
    if shape is None or len(shape) < 3 or scale is None or bias is None:
        return False
    y = normalise(site, site.x, range(2, len(shape)), epsilon=site.real("epsilon", 1e-5))
    sides = (1, -1, *(1,) * (len(shape) - 2))
    if (scale != 1).any():
        y = site.op("Mul", y, site.const(scale.reshape(sides)))
    if (bias != 0).any():
        y = site.op("Add", y, site.const(bias.reshape(sides)))
    return site.give(y)


PASS = Pass(
    name="instance_norm",
    summary="InstanceNormalization -> ReduceMean, Sub, Mul, Sqrt, Div, Mul, Add",
    anchors=("InstanceNormalization",),
    rewrite=_rewrite,
)
