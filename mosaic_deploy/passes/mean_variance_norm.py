"""MeanVarianceNormalization written out.

    x -> MeanVarianceNormalization(axes) -> y    becomes
    y = (x - ReduceMean(x)) / (Sqrt(ReduceMean((x - ReduceMean(x)) ^ 2)) + 1e-9)

The tiny term is added below the root here, where constant planes are 0 / 0 otherwise and 0 in both forms.
"""

from __future__ import annotations

from mosaic_deploy.passes._normalise import normalise
from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site


def _rewrite(site: Site) -> bool:
    shape = site.shape()
    if shape is None:
        return False
    axes = [axis % len(shape) for axis in site.numbers("axes", (0, 2, 3))]
    return site.give(normalise(site, site.x, axes, epsilon=1e-9))


PASS = Pass(
    name="mean_variance_norm",
    summary="MeanVarianceNormalization -> ReduceMean, Sub, Mul, Sqrt, Div",
    anchors=("MeanVarianceNormalization",),
    rewrite=_rewrite,
)
