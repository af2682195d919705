"""Normalisations, written with what targets have."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Site


def normalise(site: Site, x: str, axes: Sequence[int], *, epsilon: float) -> str:
    """Draft (x - mean) / Sqrt(variance + epsilon) along axes, which stay in the shape."""
    centred = site.op("Sub", x, site.reduce("ReduceMean", x, axes))
    variance = site.reduce("ReduceMean", site.op("Mul", centred, centred), axes)
    return site.op("Div", centred, site.op("Sqrt", site.op("Add", variance, site.number(epsilon))))


def _layer_norm_last(site: Site) -> bool:
    """LayerNormalization over several axes, over the last one.

        x (a,b,c,d) -> LayerNormalization(axis=2) -> y    becomes
        x -> Reshape (a,b,c*d) -> LayerNormalization(axis=-1) -> Reshape (a,b,c,d) -> y

    Leading axes merge as well where there are more than three.
    """
    shape = site.shape()
    parameters = [site.constant(index) for index in range(1, len(site.node.input))]
    if shape is None or len(site.node.output) != 1 or any(value is None for value in parameters):
        return False
    axis = site.attr_int("axis", -1) % len(shape)
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
    name = site.op("LayerNormalization", flat, *ends, axis=-1, epsilon=site.attr_float("epsilon", 1e-5))
    return site.replace_with(site.reshape(name, shape))


LAYER_NORM_LAST = Pass(
    name="layer_norm_last",
    summary="LayerNormalization over several axes -> Reshape, over the last, Reshape",
    anchors=("LayerNormalization",),
    rewrite=_layer_norm_last,
)


def _layer_norm_decomposed(site: Site) -> bool:
    """LayerNormalization written out.

    x -> LayerNormalization(scale, bias) -> y    becomes
    y = (x - ReduceMean(x)) / Sqrt(ReduceMean((x - ReduceMean(x)) ^ 2) + epsilon) * scale + bias
    """
    shape = site.shape()
    if shape is None or len(site.node.output) != 1 or site.attr_int("stash_type", 1) != 1:
        return False
    axes = range(site.attr_int("axis", -1) % len(shape), len(shape))
    y = normalise(site, site.x, list(axes), epsilon=site.attr_float("epsilon", 1e-5))
    y = site.op("Mul", y, site.input(1))
    return site.replace_with(site.op("Add", y, site.input(2)) if site.input(2) else y)


LAYER_NORM_DECOMPOSED = Pass(
    name="layer_norm_decomposed",
    summary="LayerNormalization -> ReduceMean, Sub, Mul, Sqrt, Div, Mul, Add",
    anchors=("LayerNormalization",),
    requires=("layer_norm_last",),
    rewrite=_layer_norm_decomposed,
)


def _group_norm(site: Site) -> bool:
    """GroupNormalization by InstanceNormalization.

    x (N,C,H,W) -> GroupNormalization(groups) -> y    becomes
    x -> Reshape (N,groups,-1) -> InstanceNormalization(1, 0) -> Reshape (N,C,H,W) -> Mul, Add -> y
    """
    shape, scale, bias = site.shape(), site.constant(1), site.constant(2)
    groups = site.attr_int("num_groups", 0)
    if shape is None or len(shape) < 3 or scale is None or bias is None:
        return False
    batch, channels, *plane = shape
    if groups < 1 or channels % groups:
        return False
    if len(scale) == groups:  # opset 18 has one per group
        scale, bias = scale.repeat(channels // groups), bias.repeat(channels // groups)
    flat = site.reshape(site.x, (batch, groups, channels // groups * math.prod(plane)))
    ones, zeros = site.const(np.ones(groups, site.dtype)), site.const(np.zeros(groups, site.dtype))
    normal = site.op("InstanceNormalization", flat, ones, zeros, epsilon=site.attr_float("epsilon", 1e-5))
    sides = (1, channels, *(1,) * len(plane))
    y = site.op("Mul", site.reshape(normal, shape), site.const(scale.reshape(sides).astype(site.dtype)))
    return site.replace_with(site.op("Add", y, site.const(bias.reshape(sides).astype(site.dtype))))


GROUP_NORM = Pass(
    name="group_norm",
    summary="GroupNormalization -> Reshape, InstanceNormalization, Reshape, Mul, Add",
    anchors=("GroupNormalization",),
    rewrite=_group_norm,
)


def _instance_norm(site: Site) -> bool:
    """InstanceNormalization written out.

    x (N,C,...) -> InstanceNormalization(scale, bias) -> y    becomes
    y = (x - ReduceMean(x)) / Sqrt(ReduceMean((x - ReduceMean(x)) ^ 2) + epsilon) * scale + bias
    """
    shape, scale, bias = site.shape(), site.constant(1), site.constant(2)
    if shape is None or len(shape) < 3 or scale is None or bias is None:
        return False
    y = normalise(site, site.x, range(2, len(shape)), epsilon=site.attr_float("epsilon", 1e-5))
    sides = (1, -1, *(1,) * (len(shape) - 2))
    if (scale != 1).any():
        y = site.op("Mul", y, site.const(scale.reshape(sides)))
    if (bias != 0).any():
        y = site.op("Add", y, site.const(bias.reshape(sides)))
    return site.replace_with(y)


INSTANCE_NORM = Pass(
    name="instance_norm",
    summary="InstanceNormalization -> ReduceMean, Sub, Mul, Sqrt, Div, Mul, Add",
    anchors=("InstanceNormalization",),
    rewrite=_instance_norm,
)


def _rms_norm(site: Site) -> bool:
    """RMSNormalization written out.

    x -> RMSNormalization(scale) -> y    becomes    y = x / Sqrt(ReduceMean(x * x) + epsilon) * scale
    """
    shape = site.shape()
    if shape is None or site.attr_int("stash_type", 1) != 1:
        return False
    axes = range(site.attr_int("axis", -1) % len(shape), len(shape))
    mean = site.reduce("ReduceMean", site.op("Mul", site.x, site.x), list(axes))
    root = site.op("Sqrt", site.op("Add", mean, site.number(site.attr_float("epsilon", 1e-5))))
    return site.replace_with(site.op("Mul", site.op("Div", site.x, root), site.input(1)))


RMS_NORM = Pass(
    name="rms_norm",
    summary="RMSNormalization -> x / Sqrt(ReduceMean(x * x) + epsilon) * scale",
    anchors=("RMSNormalization",),
    rewrite=_rms_norm,
)

_LEAST = 1e-12  # so that a row of zeros stays one


def _lp_norm(site: Site) -> bool:
    """LpNormalization written out.

    x -> LpNormalization(p=2, axis) -> y    becomes    y = x / Sqrt(ReduceSum(x * x))
    x -> LpNormalization(p=1, axis) -> y    becomes    y = x / ReduceSum(Abs(x))
    """
    axes = [site.attr_int("axis", -1)]
    if site.attr_int("p", 2) == 1:
        norm = site.reduce("ReduceSum", site.op("Abs", site.x), axes)
    else:
        norm = site.op("Sqrt", site.reduce("ReduceSum", site.op("Mul", site.x, site.x), axes))
    return site.replace_with(site.op("Div", site.x, site.op("Clip", norm, site.number(_LEAST))))


LP_NORM = Pass(
    name="lp_norm",
    summary="LpNormalization -> x / Sqrt(ReduceSum(x * x))",
    anchors=("LpNormalization",),
    rewrite=_lp_norm,
)


def _mean_variance_norm(site: Site) -> bool:
    """MeanVarianceNormalization written out.

        x -> MeanVarianceNormalization(axes) -> y    becomes
        y = (x - ReduceMean(x)) / (Sqrt(ReduceMean((x - ReduceMean(x)) ^ 2)) + 1e-9)

    The tiny term is added below the root here, where constant planes are 0 / 0 otherwise and 0 in both forms.
    """
    shape = site.shape()
    if shape is None:
        return False
    axes = [axis % len(shape) for axis in site.attr_ints("axes", (0, 2, 3))]
    return site.replace_with(normalise(site, site.x, axes, epsilon=1e-9))


MEAN_VARIANCE_NORM = Pass(
    name="mean_variance_norm",
    summary="MeanVarianceNormalization -> ReduceMean, Sub, Mul, Sqrt, Div",
    anchors=("MeanVarianceNormalization",),
    rewrite=_mean_variance_norm,
)

_LONG_ROW = 4096


def _instance_norm_square(site: Site) -> bool:
    """InstanceNormalization of long rows, on squares of the same numbers.

    x (n,c,l) -> InstanceNormalization -> y
    becomes
    x -> Reshape (n,c,l/k,k) -> InstanceNormalization -> Reshape (n,c,l) -> y
    """
    shape = site.shape()
    if shape is None or len(shape) != 3 or shape[2] < _LONG_ROW:
        return False
    side = next(k for k in range(math.isqrt(shape[2]), 0, -1) if shape[2] % k == 0)
    if side == 1:
        return False
    square = site.reshape(site.x, (*shape[:2], shape[2] // side, side))
    name = site.op("InstanceNormalization", square, *site.node.input[1:])
    site.made[-1].attribute.extend(site.node.attribute)
    return site.replace_with(site.reshape(name, shape))


INSTANCE_NORM_SQUARE = Pass(
    name="instance_norm_square",
    summary="InstanceNormalization of long rows -> Reshape, the same on squares, Reshape",
    anchors=("InstanceNormalization",),
    rewrite=_instance_norm_square,
)
