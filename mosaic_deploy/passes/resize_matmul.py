"""A Resize as two matrix products, one for the rows and one for the columns.

    x (N,C,h,w) -> Resize -> y (N,C,H,W)    becomes    y = A (H,h) @ x @ B (w,W)

Right for every mode, and the only way for those that a compiler gets wrong. Also the dearest: not for
matrices above a million numbers.
"""

from __future__ import annotations

from mosaic_deploy.passes._interpolation import matrix, resizing
from mosaic_deploy.passes._pass import Pass
from mosaic_deploy.passes._site import Site

_LARGEST = 1 << 20


def _rewrite(site: Site) -> bool:
    asked = resizing(site)
    if asked is None or len(asked.before) != 4 or asked.before[:2] != asked.after[:2] or not site.floating:
        return False
    if asked.mode not in ("nearest", "linear", "cubic") or site.real("extrapolation_value", 0.0):
        return False
    rows, columns = ((asked.after[axis], asked.before[axis]) for axis in (2, 3))
    if rows[0] * rows[1] > _LARGEST or columns[0] * columns[1] > _LARGEST:
        return False
    y = site.x
    if rows[0] != rows[1]:
        y = site.op("MatMul", site.const(matrix(asked, 2).astype(site.dtype)), y)
    if columns[0] != columns[1]:
        y = site.op("MatMul", y, site.const(matrix(asked, 3).T.astype(site.dtype)))
    return y != site.x and site.give(y)


PASS = Pass(
    name="resize_matmul",
    summary="Resize -> two MatMul with constants",
    anchors=("Resize",),
    requires=("resize_asymmetric", "resize_half_pixel", "resize_low_rank"),
    rewrite=_rewrite,
)
