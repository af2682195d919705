"""BatchNormalization that no convolution precedes, as a multiplication and an addition.

x -> BatchNormalization -> y    becomes    y = x * factor + offset
"""

from __future__ import annotations

import numpy as np

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    shape = site.shape()
    values = [site.constant(index) for index in range(1, 5)]
    if shape is None or len(shape) < 2 or any(v is None for v in values) or len(site.node.output) != 1:
        return False
    if site.whole("training_mode", 0):
        return False
    scale, shift, mean, variance = (np.asarray(value, np.float64) for value in values)
    factor = scale / np.sqrt(variance + site.real("epsilon", 1e-5))
    sides = (-1, *(1,) * (len(shape) - 2))
    scaled = site.op("Mul", site.x, site.const(factor.reshape(sides).astype(site.dtype)))
    offset = site.const((shift - mean * factor).reshape(sides).astype(site.dtype))
    return site.give(site.op("Add", scaled, offset))


PASS = Pass(
    name="batch_norm_alone",
    summary="BatchNormalization -> Mul, Add",
    anchors=("BatchNormalization",),
    requires=("batch_norm_folded",),
    rewrite=_rewrite,
)
