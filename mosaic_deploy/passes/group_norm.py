"""GroupNormalization by InstanceNormalization.

x (N,C,H,W) -> GroupNormalization(groups) -> y    becomes
x -> Reshape (N,groups,-1) -> InstanceNormalization(1, 0) -> Reshape (N,C,H,W) -> Mul, Add -> y
"""

from __future__ import annotations

import math

import numpy as np

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    shape, scale, bias = site.shape(), site.constant(1), site.constant(2)
    groups = site.whole("num_groups", 0)
    if shape is None or len(shape) < 3 or scale is None or bias is None:
        return False
    batch, channels, *plane = shape
    if groups < 1 or channels % groups:
        return False
    if len(scale) == groups:  # opset 18 has one per group
        scale, bias = scale.repeat(channels // groups), bias.repeat(channels // groups)
    flat = site.reshape(site.x, (batch, groups, channels // groups * math.prod(plane)))
    ones, zeros = site.const(np.ones(groups, site.dtype)), site.const(np.zeros(groups, site.dtype))
    normal = site.op("InstanceNormalization", flat, ones, zeros, epsilon=site.real("epsilon", 1e-5))
    sides = (1, channels, *(1,) * len(plane))
    y = site.op("Mul", site.reshape(normal, shape), site.const(scale.reshape(sides).astype(site.dtype)))
    return site.give(site.op("Add", y, site.const(bias.reshape(sides).astype(site.dtype))))


PASS = Pass(
    name="group_norm",
    summary="GroupNormalization -> Reshape, InstanceNormalization, Reshape, Mul, Add",
    anchors=("GroupNormalization",),
    rewrite=_rewrite,
)
