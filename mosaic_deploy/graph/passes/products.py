"""Matrix products by a constant."""

from __future__ import annotations

from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Site


def _constant_second(site: Site) -> bool:
    """A constant times x as x turned times the constant turned.

    A (m,k) @ x (...,k,n) -> y    becomes    x -> Transpose (...,n,k) -> MatMul by A' (k,m) -> Transpose -> y
    """
    shape, held = site.shape(1), site.constant(0)
    if shape is None or held is None or held.ndim != 2 or len(shape) < 2 or site.constant(1) is not None:
        return False
    order = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
    turned = site.op("MatMul", site.transpose(site.input(1), order), site.const(held.T))
    return site.replace_with(site.transpose(turned, order))


MATMUL_CONSTANT_SECOND = Pass(
    name="matmul_constant_second",
    summary="MatMul (a constant by x) -> Transpose, MatMul (x by a constant), Transpose",
    anchors=("MatMul",),
    requires=("matmul_low_rank", "resize_matmul"),
    rewrite=_constant_second,
)
