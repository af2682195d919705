"""A Resize whose coordinates are half_pixel by another name, under that name.

    Resize(linear, half_pixel_symmetric or pytorch_half_pixel)    becomes    Resize(linear, half_pixel)

Only where sizes are whole multiples of the scales, so that both put every pixel at the same place.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mosaic_deploy.passes._interpolation import positions, resizing
from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    asked = resizing(site)
    if asked is None or asked.coordinates == "half_pixel" or asked.mode == "nearest":
        return False
    scales = [a / b for a, b in zip(asked.after, asked.before, strict=True)]
    plain = replace(asked, coordinates="half_pixel", scales=tuple(scales))
    if not all(
        np.allclose(positions(asked, axis), positions(plain, axis), atol=1e-9)
        for axis in range(len(asked.before))
    ):
        return False
    name = site.op(
        "Resize", site.x, "", "", site.sizes(asked.after), coordinate_transformation_mode="half_pixel"
    )
    changed = ("coordinate_transformation_mode", "axes")
    site.made[-1].attribute.extend(a for a in site.node.attribute if a.name not in changed)
    return site.give(name)


PASS = Pass(
    name="resize_half_pixel",
    summary="Resize (half_pixel_symmetric) -> Resize (half_pixel)",
    anchors=("Resize",),
    rewrite=_rewrite,
)
