"""Constants of arithmetic on images, of which onnx2tf guesses by their sides which axis is which."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.passes import Pass, Site

_KINDS = ("Add", "Sub", "Mul", "Div", "Max", "Min")
_ALL = 3
"""Sides of an image, channels among them."""
_MOST = 1 << 22
"""Numbers of a constant that is written out."""


def _spread(site: Site) -> bool:
    """A constant that may be mistaken, with four dimensions, for every pixel, or in halves.

        x (1,16,24,32) -> Add of c (24,1)         becomes    x -> Add of c (1,1,24,1)
        x (1,16,16,32) -> Add of c (1,1,16,1)     becomes    x -> Add of c (1,16,16,32)
        x (1,16,16,16) -> Add of c (1,1,16,1)     becomes    x -> two Slices -> Add of c (1,16,16,8) -> Concat

    onnx2tf 2.6.9 takes 16 numbers along the height for those of 16 channels.
    """
    held = [site.constant(index) for index in range(len(site.node.input))]
    places = [index for index, value in enumerate(held) if value is not None and value.size > 1]
    shape = site.out_shape
    if len(held) != 2 or len(places) != 1 or shape is None or len(shape) != 4:
        return False
    place, value = places[0], held[places[0]]
    if value is None or site.shape(1 - place) != shape:
        return False
    four = value.reshape((1,) * (4 - value.ndim) + value.shape)
    by_channel = four.size == four.shape[1] == shape[1]
    distinct = len({*shape[1:]})
    if by_channel or distinct == _ALL or math.prod(shape) > _MOST:
        return four.shape != value.shape and not by_channel and site.replace_with(_by(site, place, four))
    full = np.broadcast_to(four, shape)
    if distinct > 1:
        return full.shape != value.shape and site.replace_with(_by(site, place, full))
    half, x = shape[3] // 2, site.input(1 - place)
    parts = [
        _by(site, place, full[..., begin:end], site.slice(x, begin, end, axis=3))
        for begin, end in ((0, half), (half, shape[3]))
    ]
    return site.replace_with(site.op("Concat", *parts, axis=3))


def _by(site: Site, place: int, value: NDArray[Any], x: str = "") -> str:
    """The same operator with another constant, and of a part of what it reads."""
    name = site.const(value)
    other = x or site.input(1 - place)
    return site.op(site.node.op_type, *((name, other) if place == 0 else (other, name)))


SPREAD_CONSTANTS = Pass(
    name="spread_constants",
    summary="Add of a repeated constant -> Add of one in four dimensions, for every pixel, or in halves",
    anchors=_KINDS,
    bit_exact=True,
    rewrite=_spread,
)
