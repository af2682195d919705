"""A dilated ConvTranspose with the gaps written into its kernel.

ConvTranspose(kernel k, dilation d)    becomes    ConvTranspose(kernel (k - 1) * d + 1, zeros between taps)
"""

from __future__ import annotations

import numpy as np

from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    weight, dilations = site.constant(1), site.numbers("dilations")
    if weight is None or weight.ndim != 2 + len(dilations) or all(d == 1 for d in dilations):
        return False
    sides = tuple((k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilations, strict=True))
    wide = np.zeros((*weight.shape[:2], *sides), weight.dtype)
    wide[(slice(None), slice(None), *(slice(None, None, d) for d in dilations))] = weight
    name = site.op("ConvTranspose", site.x, site.const(wide), *site.node.input[2:], kernel_shape=sides)
    changed = ("dilations", "kernel_shape")
    site.made[-1].attribute.extend(a for a in site.node.attribute if a.name not in changed)
    return site.give(name)


PASS = Pass(
    name="conv_transpose_dilated",
    summary="ConvTranspose (dilated) -> ConvTranspose with zeros between the taps",
    anchors=("ConvTranspose",),
    rewrite=_rewrite,
)
