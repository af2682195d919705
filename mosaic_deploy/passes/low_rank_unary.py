"""An operator that works on each number alone, in four dimensions instead of five or more.

x (a,b,c,d,e) -> Tanh -> y    becomes    x -> Reshape (a*b,c,d,e) -> Tanh -> Reshape (a,b,c,d,e) -> y
"""

from __future__ import annotations

import math

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site

_UNARY = (
    "Abs", "Atan", "Ceil", "Clip", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish",
    "LeakyRelu", "Log", "Mish", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin",
    "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu",
)  # fmt: skip


def _rewrite(site: Site) -> bool:
    shape = site.shape()
    if shape is None or len(shape) < 5:
        return False
    low = site.reshape(site.x, (math.prod(shape[:-3]), *shape[-3:]))
    name = site.op(site.node.op_type, low, *site.node.input[1:])
    site.made[-1].attribute.extend(site.node.attribute)
    return site.give(site.reshape(name, shape))


PASS = Pass(
    name="low_rank_unary",
    summary="Tanh, HardSwish and the like on 5 dimensions -> Reshape, the same on 4, Reshape",
    anchors=_UNARY,
    moves=True,
    rewrite=_rewrite,
)
