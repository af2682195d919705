"""PRelu behind a convolution, written with two convolutions and the Relu that accelerators fuse into them.

x -> Conv(w, b) -> PRelu(a) -> y    becomes    y = Relu(Conv(x, w, b)) - Relu(Conv(x, -a * w, -a * b))
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Site

Numbers = NDArray[np.float64]


def _rewrite(site: Site) -> bool:
    conv = site.graph.producer(site.x, "Conv")
    if conv is None or site.graph.only_consumer(site.x) is None:
        return False
    before = Site(conv, site.graph)
    weight, bias = before.constant(1), before.constant(2) if before.input(2) else None
    if weight is None or weight.dtype.kind != "f" or (before.input(2) and bias is None):
        return False
    slope = _slope(site, weight.shape[0])
    if slope is None:
        return False
    factor = -slope.reshape(-1, *(1,) * (weight.ndim - 1))
    second = [site.const((weight.astype(np.float64) * factor).astype(weight.dtype))]
    if bias is not None:
        second.append(site.const((bias.astype(np.float64) * -slope).astype(bias.dtype)))
    above = site.op("Conv", *conv.input)
    site.made[-1].attribute.extend(conv.attribute)
    below = site.op("Conv", before.x, *second)
    site.made[-1].attribute.extend(conv.attribute)
    site.also_replaces(conv)
    return site.replace_with(site.op("Sub", site.op("Relu", above), site.op("Relu", below)))


def _slope(site: Site, channels: int) -> Numbers | None:
    """One slope per channel; None where they are no such constants, or some are below 0."""
    held, shape = site.constant(1), site.shape()
    if held is None or shape is None or held.dtype.kind != "f":
        return None
    if held.size != 1 and tuple(held.shape) not in (
        (channels, *(1,) * (len(shape) - 2)),
        (1, channels, *(1,) * (len(shape) - 2)),
    ):
        return None
    slope = np.broadcast_to(held.astype(np.float64).reshape(-1), (channels,))
    return slope if np.isfinite(slope).all() and (slope >= 0).all() else None


CONV_PRELU = Pass(
    name="conv_prelu",
    summary="Conv, PRelu -> Relu(Conv) - Relu(Conv with weights times -slope)",
    anchors=("PRelu",),
    rewrite=_rewrite,
)
