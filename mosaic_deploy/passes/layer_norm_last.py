"""LayerNormalization over several axes, over the last one.

    x (a,b,c,d) -> LayerNormalization(axis=2) -> y    becomes
    x -> Reshape (a,b,c*d) -> LayerNormalization(axis=-1) -> Reshape (a,b,c,d) -> y

Leading axes merge as well where there are more than three.
"""

from __future__ import annotations

import math

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    shape = site.shape()
    parameters = [site.constant(index) for index in range(1, len(site.node.input))]
    if shape is None or len(site.node.output) != 1 or any(value is None for value in parameters):
        return False
    axis = site.whole("axis", -1) % len(shape)
    inner = math.prod(shape[axis:])
    if axis == len(shape) - 1 and len(shape) <= 4:
        return False
    outer = (
        shape[:axis] if len(shape[:axis]) <= 3 else (math.prod(shape[: axis - 2]), *shape[axis - 2 : axis])
    )
    if any(value is not None and value.shape != shape[axis:] for value in parameters):
        return False  # broadcast ones
    flat = site.reshape(site.x, (*(outer or (1,)), inner))
    ends = [site.const(value.reshape(inner)) for value in parameters if value is not None]
    name = site.op("LayerNormalization", flat, *ends, axis=-1, epsilon=site.real("epsilon", 1e-5))
    return site.give(site.reshape(name, shape))


PASS = Pass(
    name="layer_norm_last",
    summary="LayerNormalization over several axes -> Reshape, over the last, Reshape",
    anchors=("LayerNormalization",),
    rewrite=_rewrite,
)
