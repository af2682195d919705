"""Casts, and ArgMax with its Cast."""

from __future__ import annotations

import numpy as np

from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Site

_MOVES = ("Reshape", "Squeeze", "Unsqueeze", "Transpose", "Flatten", "Slice")


def _arg_max_cast(site: Site) -> bool:
    """The cast of class ids right behind their ArgMax, so that nothing else works on 64 bits.

        ArgMax -> Reshape -> Cast(int32) -> y    becomes    ArgMax -> Cast(int32) -> Reshape -> y

    The same for Squeeze, Unsqueeze, Transpose, Flatten and Slice.
    """
    if site.graph.dtype(site.x) != np.int64:
        return False
    chain = []
    name = site.x
    while (node := site.graph.producer(name, *_MOVES)) is not None:
        if site.graph.only_consumer(name) is None:
            return False
        chain.append(node)
        name = node.input[0]
    if not chain or site.graph.producer(name, "ArgMax", "ArgMin") is None:
        return False
    y = site.op("Cast", name, to=site.attr_int("to", 0))
    for node in reversed(chain):
        y = site.op(node.op_type, y, *node.input[1:])
        site.made[-1].attribute.extend(node.attribute)
    site.also_replaces(*chain)
    return site.replace_with(y)


ARG_MAX_CAST = Pass(
    name="arg_max_cast",
    summary="ArgMax, Reshape, Cast -> ArgMax, Cast, Reshape",
    anchors=("Cast",),
    resolves=("Cast", *_MOVES),
    bit_exact=True,
    rewrite=_arg_max_cast,
)


def _arg_max_first(site: Site) -> bool:
    """ArgMax that is to take the last of equal numbers, on the reversed axis.

    x -> ArgMax(select_last_index=1) -> y    becomes    n - 1 - ArgMax(reversed x)
    """
    shape = site.shape()
    if shape is None or not site.attr_int("select_last_index", 0):
        return False
    axis = site.attr_int("axis", 0) % len(shape)
    turned = site.slice(site.x, -1, -(2**31), axis=axis, step=-1)
    first = site.op(site.node.op_type, turned, axis=axis, keepdims=site.attr_int("keepdims", 1))
    return site.replace_with(site.op("Sub", site.const(np.asarray(shape[axis] - 1, np.int64)), first))


ARG_MAX_FIRST = Pass(
    name="arg_max_first",
    summary="ArgMax (select_last_index) -> n - 1 - ArgMax of the reversed axis",
    anchors=("ArgMax", "ArgMin"),
    bit_exact=True,
    rewrite=_arg_max_first,
)

_FLOAT = 1


def _cast_pixels(site: Site) -> bool:
    """Pixels cast to float as a dequantisation, which compilers get right.

    x (uint8) -> Cast(float) -> y    becomes    x -> DequantizeLinear(scale 1, zero point 0) -> y
    """
    if (
        site.graph.dtype(site.x) != np.uint8
        or site.attr_int("to", 0) != _FLOAT
        or site.constant(0) is not None
    ):
        return False
    scale, zero = site.const(np.asarray(1, np.float32)), site.const(np.asarray(0, np.uint8))
    return site.replace_with(site.op("DequantizeLinear", site.x, scale, zero))


CAST_PIXELS = Pass(
    name="cast_pixels",
    summary="Cast (uint8 to float) -> DequantizeLinear (scale 1)",
    anchors=("Cast",),
    bit_exact=True,
    rewrite=_cast_pixels,
)

_INT32, _INT64 = 6, 7


def _cast_stepwise(site: Site) -> bool:
    """A Cast that a compiler refuses, by way of 32-bit integers.

    x (float or uint8) -> Cast(int8 or int64) -> y    becomes    x -> Cast(int32) -> Cast -> y
    """
    before = site.graph.dtype(site.x)
    to = site.attr_int("to", 0)
    if before is None or before not in (np.float32, np.float16, np.uint8, np.bool_) or to not in (3, _INT64):
        return False
    if to == _INT64 and np.issubdtype(before, np.floating):
        return False  # numbers beyond 32 bits would differ
    return site.replace_with(site.op("Cast", site.op("Cast", site.x, to=_INT32), to=to))


CAST_STEPWISE = Pass(
    name="cast_stepwise",
    summary="Cast -> Cast to int32, Cast",
    anchors=("Cast",),
    bit_exact=True,
    rewrite=_cast_stepwise,
)
