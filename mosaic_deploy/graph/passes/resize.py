"""Resize in the forms that targets take."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Site
from mosaic_deploy.graph.passes.interpolation import matrix, positions, resizing, sources


def _resize_asymmetric(site: Site) -> bool:
    """A nearest Resize in the form that every compiler gets right.

        Resize(nearest, half_pixel, ...)    becomes    Resize(nearest, asymmetric, floor)

    Only where both copy the very same pixels, as they do when every side grows by a whole factor.
    """
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
    return site.replace_with(site.op("Resize", site.x, "", "", site.sizes(asked.after), **form))


RESIZE_ASYMMETRIC = Pass(
    name="resize_asymmetric",
    summary="Resize (nearest, other coordinates) -> Resize (nearest, asymmetric, floor)",
    anchors=("Resize",),
    bit_exact=True,
    rewrite=_resize_asymmetric,
)


def _resize_half_pixel(site: Site) -> bool:
    """A Resize whose coordinates are half_pixel by another name, under that name.

        Resize(linear, half_pixel_symmetric or pytorch_half_pixel)    becomes    Resize(linear, half_pixel)

    Only where sizes are whole multiples of the scales, so that both put every pixel at the same place.
    """
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
    return site.replace_with(name)


RESIZE_HALF_PIXEL = Pass(
    name="resize_half_pixel",
    summary="Resize (half_pixel_symmetric) -> Resize (half_pixel)",
    anchors=("Resize",),
    rewrite=_resize_half_pixel,
)


def _resize_low_rank(site: Site) -> bool:
    """A Resize of height and width alone, in four dimensions instead of five.

    x (a,b,c,h,w) -> Resize(h, w) -> y    becomes    Reshape (a,b*c,h,w) -> Resize(h, w) -> Reshape -> y
    """
    asked = resizing(site)
    if asked is None or len(asked.before) < 5 or asked.before[:-2] != asked.after[:-2]:
        return False
    if any(abs(s - a / b) > 1e-6 for s, a, b in zip(asked.scales, asked.after, asked.before, strict=True)):
        return False
    lead = (asked.before[0], math.prod(asked.before[1:-2]))
    low = site.reshape(site.x, (*lead, *asked.before[-2:]))
    name = site.op("Resize", low, "", "", site.sizes((*lead, *asked.after[-2:])))
    site.made[-1].attribute.extend(a for a in site.node.attribute if a.name != "axes")
    return site.replace_with(site.reshape(name, asked.after))


RESIZE_LOW_RANK = Pass(
    name="resize_low_rank",
    summary="Resize on 5 dimensions -> Reshape, Resize on 4, Reshape",
    anchors=("Resize",),
    rewrite=_resize_low_rank,
)

_MOST = 4


def _resize_concat(site: Site) -> bool:
    """A nearest Resize by a small whole factor with copies put side by side.

    x (N,C,h,w) -> Resize(nearest, f) -> y    becomes
    Concat of f * f copies along the channels -> DepthToSpace(f, DCR) -> y
    """
    asked = resizing(site)
    if (
        asked is None
        or asked.mode != "nearest"
        or len(asked.before) != 4
        or asked.before[:2] != asked.after[:2]
    ):
        return False
    factor, rest = divmod(asked.after[2], asked.before[2])
    if rest or not 2 <= factor <= _MOST or asked.after[3] != factor * asked.before[3]:
        return False
    for axis in (2, 3):
        if not np.array_equal(sources(asked, axis), np.arange(asked.after[axis]) // factor):
            return False
    copies = site.op("Concat", *[site.x] * (factor * factor), axis=1)
    return site.replace_with(site.op("DepthToSpace", copies, blocksize=factor, mode="DCR"))


RESIZE_CONCAT = Pass(
    name="resize_concat",
    summary="Resize (nearest, by 2 to 4) -> Concat of copies, DepthToSpace",
    anchors=("Resize",),
    bit_exact=True,
    requires=("resize_asymmetric",),
    rewrite=_resize_concat,
)

_LARGEST = 1 << 20


def _resize_matmul(site: Site) -> bool:
    """A Resize as two matrix products, one for the rows and one for the columns.

        x (N,C,h,w) -> Resize -> y (N,C,H,W)    becomes    y = A (H,h) @ x @ B (w,W)

    Right for every mode, and the only way for those that a compiler gets wrong. Also the dearest: not for
    matrices above a million numbers.
    """
    asked = resizing(site)
    if asked is None or len(asked.before) != 4 or asked.before[:2] != asked.after[:2] or not site.floating:
        return False
    if asked.mode not in ("nearest", "linear", "cubic") or site.attr_float("extrapolation_value", 0.0):
        return False
    rows, columns = ((asked.after[axis], asked.before[axis]) for axis in (2, 3))
    if rows[0] * rows[1] > _LARGEST or columns[0] * columns[1] > _LARGEST:
        return False
    y = site.x
    if rows[0] != rows[1]:
        y = site.op("MatMul", site.const(matrix(asked, 2).astype(site.dtype)), y)
    if columns[0] != columns[1]:
        y = site.op("MatMul", y, site.const(matrix(asked, 3).T.astype(site.dtype)))
    return y != site.x and site.replace_with(y)


RESIZE_MATMUL = Pass(
    name="resize_matmul",
    summary="Resize -> two MatMul with constants",
    anchors=("Resize",),
    requires=("resize_asymmetric", "resize_half_pixel", "resize_low_rank"),
    rewrite=_resize_matmul,
)
