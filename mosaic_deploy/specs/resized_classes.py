"""The best class of every pixel of bilinearly resized scores, without resizing most of them.

Bilinear weights are convex: a pixel between four scores whose best class is one and the same has that class.
So only pixels between unlike corners need their scores, and only of the classes that may win there. What
comes out is, to the pixel, what ``resize_scores(...).argmax(axis=0)`` gives (``benchmarks/class_maps.py`` has
the times).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.specs.labels import Pixels
from mosaic_deploy.specs.resample import Bilinear, Floats, Size, Steps, resize_steps

_ROUNDING = np.float32(16 * 2.0**-24)
"""Share of the largest score; two blends in float32 stray from real numbers by less."""
_PIXELS = 1 << 19
"""Pixels at a time: the scores of a large photograph would fill any memory at once."""


def best_classes(scores: Floats, size: Size, *, sampling: Bilinear = "half_pixel") -> Pixels:
    """Resize (C, h, w) scores bilinearly to ``size`` and take the best class of each pixel.

    Args:
        scores: finite, of at most 256 classes.
        size: (H, W) of the result.
        sampling: where samples lie.

    Returns:
        (H, W) ids, the lowest where scores are equal.
    """
    count, height, width = scores.shape
    ids, best = _best(scores)
    if (height, width) == size:
        return ids
    flat = np.ascontiguousarray(scores).reshape(count, -1)
    slack = _ROUNDING * np.abs(flat).max()
    alike = _alike(scores, ids, best, slack)
    classes = _possible(flat, alike, slack)
    top, bottom, down = resize_steps(height, size[0], sampling)
    columns = resize_steps(width, size[1], sampling)
    out = np.empty(size, np.uint8)
    stripe = max(1, _PIXELS // size[1])
    for first in range(0, size[0], stripe):
        part = slice(first, first + stripe)
        rows = top[part] * width, bottom[part] * width, down[part]
        out[part] = _stripe(flat, classes, (ids, alike), (rows, columns))
    return out


def _best(scores: Floats) -> tuple[Pixels, Floats]:
    """The ids and the scores of the best class; quicker than ``argmax`` along the first axis."""
    ids, best = np.zeros(scores.shape[1:], np.uint8), scores[0].copy()
    for index in range(1, len(scores)):
        np.copyto(ids, np.uint8(index), where=scores[index] > best)
        np.maximum(best, scores[index], out=best)
    return ids, best


def _alike(scores: Floats, ids: Pixels, best: Floats, slack: np.float32) -> NDArray[np.bool_]:
    """(h, w) whether a score and its right, lower and diagonal neighbours have one best class, clearly."""
    second = np.full(ids.shape, -np.inf, np.float32)
    for index, plane in enumerate(scores):
        np.maximum(second, plane, out=second, where=ids != index)
    below, right = (np.minimum(np.arange(side) + 1, side - 1) for side in ids.shape)
    clear = best - second > slack
    row = clear & clear[:, right] & (ids == ids[:, right])
    found: NDArray[np.bool_] = row & row[below] & (ids == ids[below])
    return found


def _possible(flat: Floats, alike: NDArray[np.bool_], slack: np.float32) -> list[int]:
    """Classes that may win somewhere between unlike corners."""
    height, width = alike.shape
    ys, xs = np.nonzero(~alike)
    rows = ys * width, np.minimum(ys + 1, height - 1) * width
    corners = [flat.take(row + x, axis=1) for row in rows for x in (xs, np.minimum(xs + 1, width - 1))]
    everywhere = np.minimum.reduce(corners).max(axis=0)  # some class has at least that much in all the cell
    may_win = np.maximum.reduce(corners) >= everywhere - slack
    return [int(index) for index in np.flatnonzero(may_win.any(axis=1))]


def _stripe(
    flat: Floats, classes: list[int], corner: tuple[Pixels, NDArray[np.bool_]], steps: tuple[Steps, Steps]
) -> Pixels:
    """Make some rows: ids of the corner where all are alike, the best of the blended scores elsewhere."""
    (top, bottom, down), (left, right, across) = steps
    ids, alike = corner
    start = top[:, None] + left
    out = ids.ravel().take(start)
    todo = np.flatnonzero(~alike.ravel().take(start))
    ys, xs = np.divmod(todo, len(left))
    nw = start.ravel().take(todo)
    ne = nw + (right - left).take(xs)
    lower = (bottom - top).take(ys)
    sw, se, down, across = nw + lower, ne + lower, down.take(ys), across.take(xs)
    won, best = np.zeros(len(todo), np.uint8), np.full(len(todo), -np.inf, np.float32)
    for index in classes:
        scores = flat[index]
        west, east = _between(scores, nw, sw, down), _between(scores, ne, se, down)
        east -= west
        east *= across
        west += east
        np.copyto(won, np.uint8(index), where=west > best)
        np.maximum(best, west, out=best)
    out.ravel()[todo] = won
    return out


def _between(scores: Floats, at: NDArray[np.intp], to: NDArray[np.intp], share: Floats) -> Floats:
    below, above = scores.take(at), scores.take(to)
    above -= below
    above *= share
    above += below
    return above
