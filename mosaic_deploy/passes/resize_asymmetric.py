"""A nearest Resize in the form that every compiler gets right.

    Resize(nearest, half_pixel, ...)    becomes    Resize(nearest, asymmetric, floor)

Only where both copy the very same pixels, as they do when every side grows by a whole factor.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mosaic_deploy.passes._interpolation import resizing, sources
from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    asked = resizing(site)
    if asked is None or asked.mode != "nearest":
        return False
    scales = [a / b for a, b in zip(asked.after, asked.before, strict=True)]
    plain = replace(asked, coordinates="asymmetric", rounding="floor", scales=tuple(scales))
    is_plain = asked.coordinates == "asymmetric" and asked.rounding == "floor"
    same = (np.array_equal(sources(asked, a), sources(plain, a)) for a in range(len(asked.before)))
    if is_plain or not all(same):
        return False
    form = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return site.give(site.op("Resize", site.x, "", "", site.sizes(asked.after), **form))


PASS = Pass(
    name="resize_asymmetric",
    summary="Resize (nearest, other coordinates) -> Resize (nearest, asymmetric, floor)",
    anchors=("Resize",),
    moves=True,
    rewrite=_rewrite,
)
