"""Mean 0 and variance 1 along some axes, written out."""

from __future__ import annotations

from collections.abc import Sequence

from mosaic_deploy.passes._site import Site


def normalise(site: Site, x: str, axes: Sequence[int], *, epsilon: float) -> str:
    """Draft (x - mean) / Sqrt(variance + epsilon) along axes, which stay in the shape."""
    centred = site.op("Sub", x, site.reduce("ReduceMean", x, axes))
    variance = site.reduce("ReduceMean", site.op("Mul", centred, centred), axes)
    return site.op("Div", centred, site.op("Sqrt", site.op("Add", variance, site.number(epsilon))))
