"""Resizing with the sampling rule stated: half-pixel centres, aligned corners, or asymmetric.

*Half-pixel centres*: sample i of n lies at (i + 0.5) * length / n - 0.5, clamped to the ends; what
``torch.nn.functional.interpolate(align_corners=False)`` and ONNX's ``half_pixel`` do. *Aligned corners*:
sample i lies at i * (length - 1) / (n - 1), so that the first and last samples coincide; what MLPerf's
ADE20K files were made with (DeepLab's ``resize_to_range``). *Asymmetric*: sample i lies at
i * length / n, clamped to the end; older TensorFlow's default. Nothing here smooths before it shrinks.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
"""Height and width in pixels."""
Floats = NDArray[np.float32]
Steps = tuple[NDArray[np.intp], NDArray[np.intp], Floats]
Bilinear = Literal["half_pixel", "align_corners", "asymmetric"]
"""Where samples lie, by ONNX's names for it."""
Sampling = Literal[Bilinear, "nearest"]
"""How scores come to another size; ``nearest`` is with half-pixel centres, ties go right and down."""

_PAD_FLOAT = np.float32(127.5)
PAD = 127
"""What fills a letterbox, bottom and right: the protocol's 127.5, cut to a pixel."""


def letterbox_size(size: Size, into: Size) -> Size:
    """The largest size with the ratio of ``size`` that fits ``into``; the shorter side is rounded down.

    683x512 into 512x512 gives 512x383. The arithmetic is exact, so the longer side always fits; the original
    scripts multiply in float32, which leaves some of their longer sides at 511.
    """
    (height, width), (rows, columns) = size, into
    if rows * width <= columns * height:
        return rows, max(1, width * rows // height)
    return max(1, height * columns // width), columns


def letterbox_image(image: NDArray[np.uint8], into: Size) -> NDArray[np.uint8]:
    """Fit an (H, W, 3) image into (height, width, 3), the rest at the bottom and right filled with 127.

    Bilinear with aligned corners; fractions are cut, not rounded, as the protocol's cast to uint8 does.
    """
    if image.shape[:2] == into:
        return image
    size = letterbox_size((image.shape[0], image.shape[1]), into)
    wide = _blend(image.astype(np.float32), size[1], axis=1, sampling="align_corners")
    small = _blend(wide, size[0], axis=0, sampling="align_corners")
    canvas = np.full((*into, image.shape[2]), _PAD_FLOAT, np.float32)
    canvas[: size[0], : size[1]] = (small - _PAD_FLOAT) + _PAD_FLOAT  # as the protocol pads; it can round
    return canvas.astype(np.uint8)


def letterbox_label(label: NDArray[np.uint8], into: Size, *, fill: int) -> NDArray[np.uint8]:
    """Fit an (H, W) map of ids into (height, width): nearest with aligned corners, the rest ``fill``."""
    size = letterbox_size((label.shape[0], label.shape[1]), into)
    canvas = np.full(into, fill, np.uint8)
    canvas[: size[0], : size[1]] = resize_ids(label, size, corners=True)
    return canvas


def resize_scores(scores: Floats, size: Size, *, sampling: Bilinear = "half_pixel") -> Floats:
    """Resize (C, h, w) scores bilinearly to (C, H, W)."""
    return _blend(_blend(scores, size[0], axis=1, sampling=sampling), size[1], axis=2, sampling=sampling)


def resize_steps(length: int, wanted: int, sampling: Bilinear) -> Steps:
    """(wanted,) of ``length`` numbers each: lower neighbours, upper ones, and the shares of these."""
    at = np.clip(_positions(length, wanted, sampling), 0, length - 1)
    low = np.floor(at).astype(np.intp)
    return low, np.minimum(low + 1, length - 1), (at - low).astype(np.float32)


def resize_ids[T: np.generic](ids: NDArray[T], size: Size, *, corners: bool = False) -> NDArray[T]:
    """Resize an (h, w) map of ids to (H, W), each pixel taken from the nearest; ties go right and down."""
    rows = _nearest(ids.shape[0], size[0], corners=corners)
    columns = _nearest(ids.shape[1], size[1], corners=corners)
    return ids[rows[:, None], columns]


def _blend(x: Floats, wanted: int, *, axis: int, sampling: Bilinear) -> Floats:
    """Resize an axis to so many samples."""
    length = x.shape[axis]
    if length == wanted:
        return x
    low, high, share = resize_steps(length, wanted, sampling)
    weight = share.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    below, above = np.take(x, low, axis), np.take(x, high, axis)
    blended: Floats = below + (above - below) * weight
    return blended


def _nearest(length: int, wanted: int, *, corners: bool) -> NDArray[np.intp]:
    if not corners:  # in whole numbers, so that a tie is one whatever the machine
        return (2 * np.arange(wanted) + 1) * length // (2 * wanted)
    at = _positions(length, wanted, "align_corners").astype(np.float64)
    return np.clip(np.floor(at + 0.5), 0, length - 1).astype(np.intp)


def _positions(length: int, wanted: int, sampling: Bilinear) -> NDArray[Any]:
    """(wanted,) where each sample lies on the old grid, which may be a little beyond its ends."""
    steps = np.arange(wanted)
    if sampling == "asymmetric":
        return steps * (length / wanted)
    if sampling == "half_pixel":
        return (steps + 0.5) * (length / wanted) - 0.5
    step = np.float32(length - 1) / np.float32(wanted - 1) if wanted > 1 else np.float32(0)
    return steps.astype(np.float32) * step
