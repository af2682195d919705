"""GridSample with a constant grid, whose reading places are known, as gathered and weighted pixels.

    x, constant grid -> GridSample -> y    becomes
    Reshape (N,C,h*w) -> up to 4 Gathers of the neighbours -> Mul by their weights -> Add -> Reshape -> y

Where rows and columns of the grid do not mix, as in a plain resize, it is two MatMuls with constants instead.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.passes._pass import Pass
from mosaic_deploy.graph.passes._site import Site

_LARGEST = 1 << 22
Taps = list[tuple[NDArray[np.int64], NDArray[np.float64]]]


def _rewrite(site: Site) -> bool:
    shape, after, grid = site.shape(), site.out_shape, site.constant(1)
    if shape is None or after is None or grid is None or len(shape) != 4 or not site.floating:
        return False
    mode, padding = site.attr_str("mode", "bilinear"), site.attr_str("padding_mode", "zeros")
    if mode not in ("bilinear", "linear", "nearest") or padding not in ("zeros", "border"):
        return False
    if grid.shape[0] != 1 and not (grid == grid[:1]).all():
        return False
    if not np.isfinite(grid).all() or after[2] * after[3] > _LARGEST:
        return False
    corners = bool(site.attr_int("align_corners", 0))
    columns = _axis(
        grid[0, ..., 0], shape[3], corners=corners, nearest=mode == "nearest", border=padding == "border"
    )
    rows = _axis(
        grid[0, ..., 1], shape[2], corners=corners, nearest=mode == "nearest", border=padding == "border"
    )
    if (grid[0, :1, :, 0] == grid[0, ..., 0]).all() and (grid[0, :, :1, 1] == grid[0, ..., 1]).all():
        down = _matrix([(at[:, 0], weight[:, 0]) for at, weight in rows], shape[2]).astype(site.dtype)
        across = _matrix([(at[0], weight[0]) for at, weight in columns], shape[3]).astype(site.dtype)
        y = site.op("MatMul", site.op("MatMul", site.const(down), site.x), site.const(across.T))
        return site.replace_with(y)
    flat = site.op("Reshape", site.x, site.sizes((*shape[:2], shape[2] * shape[3])))
    terms = []
    for row, below in rows:
        for column, beside in columns:
            part = site.op("Gather", flat, site.const((row * shape[3] + column).reshape(-1)), axis=2)
            weights = (below * beside).reshape(1, 1, -1).astype(site.dtype)
            terms.append(site.op("Mul", part, site.const(weights)) if (weights != 1).any() else part)
    y = terms[0]
    for term in terms[1:]:
        y = site.op("Add", y, term)
    return site.replace_with(site.op("Reshape", y, site.sizes(after)))


def _axis(grid: NDArray[np.generic], side: int, *, corners: bool, nearest: bool, border: bool) -> Taps:
    """Which pixels of an axis a grid in [-1, 1] reads, and with what weights, each like the grid."""
    at = grid.astype(np.float64)
    at = (at + 1) / 2 * (side - 1) if corners else ((at + 1) * side - 1) / 2
    if border:
        at = np.clip(at, 0, side - 1)
    if nearest:
        near = np.rint(at)
        taps = [(near, np.ones_like(at))]
    else:
        low = np.floor(at)
        taps = [(low, 1 - (at - low)), (low + 1, at - low)]
    found = []
    for place, weight in taps:
        inside = (place >= 0) & (place <= side - 1)
        found.append((np.clip(place, 0, side - 1).astype(np.int64), np.where(inside, weight, 0)))
    return found


def _matrix(taps: Taps, side: int) -> NDArray[np.float64]:
    weights = np.zeros((len(taps[0][0]), side))
    for at, weight in taps:
        np.add.at(weights, (np.arange(len(at)), at), weight)
    return weights


GRID_SAMPLE = Pass(
    name="grid_sample",
    summary="GridSample (constant grid) -> two MatMul, or Gather, Mul, Add",
    anchors=("GridSample",),
    rewrite=_rewrite,
)
