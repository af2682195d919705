"""BatchNormalization folded into the convolution before it.

    x -> Conv(w, b) -> BatchNormalization -> y    becomes    x -> Conv(w', b') -> y

Only where nothing else reads the convolution, and its weights are constants; they are copied, so that
another convolution may share them.
"""

from __future__ import annotations

import numpy as np

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    conv = site.graph.maker(site.x, "Conv")
    values = [site.constant(index) for index in range(1, 5)]
    if conv is None or site.graph.only_reader(site.x) is None or len(site.node.output) != 1:
        return False
    weight = site.graph.constant(conv.input[1])
    bias = site.graph.constant(conv.input[2]) if len(conv.input) > 2 and conv.input[2] else None
    if weight is None or (len(conv.input) > 2 and conv.input[2] and bias is None):
        return False
    if any(value is None for value in values) or site.whole("training_mode", 0):
        return False
    scale, shift, mean, variance = (np.asarray(value, np.float64) for value in values)
    factor = scale / np.sqrt(variance + site.real("epsilon", 1e-5))
    start = 0.0 if bias is None else np.asarray(bias, np.float64)
    folded = weight * factor.reshape(-1, *(1,) * (weight.ndim - 1))
    site.covers(conv)
    weights = site.const(folded.astype(weight.dtype))
    offsets = site.const(((start - mean) * factor + shift).astype(weight.dtype))
    name = site.op("Conv", conv.input[0], weights, offsets)
    site.made[-1].attribute.extend(conv.attribute)
    return site.give(name)


PASS = Pass(
    name="batch_norm_folded",
    summary="Conv, BatchNormalization -> Conv",
    anchors=("BatchNormalization",),
    rewrite=_rewrite,
)
