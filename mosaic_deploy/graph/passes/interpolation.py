"""Resizing one axis as a matrix: each row says of which input pixels an output pixel is the weighted sum."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.graph.passes._site import Site

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Resizing:
    """What a Resize node asks for, read with the operator's defaults."""

    mode: str
    coordinates: str
    rounding: str
    cubic: float
    exclude_outside: bool
    antialias: bool
    before: tuple[int, ...]
    after: tuple[int, ...]
    scales: tuple[float, ...]


def resizing(site: Site) -> Resizing | None:
    """Read a Resize of known shapes that neither crops nor keeps an aspect ratio; None for any other."""
    before, after = site.shape(), site.out_shape
    stretch = site.attr_str("keep_aspect_ratio_policy", "stretch") == "stretch"
    coordinates = site.attr_str("coordinate_transformation_mode", "half_pixel")
    if before is None or after is None or not stretch or coordinates == "tf_crop_and_resize":
        return None
    given = site.constant(2) if site.input(2) else None
    axes = [axis % len(before) for axis in site.attr_ints("axes", range(len(before)))]
    scales = [a / b if b else 1.0 for a, b in zip(after, before, strict=True)]
    if site.input(2) and given is None:
        return None
    if given is not None and given.size:
        for axis, scale in zip(axes, given, strict=True):
            scales[axis] = float(scale)
    return Resizing(
        mode=site.attr_str("mode", "nearest"),
        coordinates=coordinates,
        rounding=site.attr_str("nearest_mode", "round_prefer_floor"),
        cubic=site.attr_float("cubic_coeff_a", -0.75),
        exclude_outside=bool(site.attr_int("exclude_outside", 0)),
        antialias=bool(site.attr_int("antialias", 0)),
        before=before,
        after=after,
        scales=tuple(scales),
    )


def positions(asked: Resizing, axis: int) -> Matrix:
    """Where the output pixels of an axis lie among the input's, (after,)."""
    before, after, scale = asked.before[axis], asked.after[axis], asked.scales[axis]
    at = np.arange(after, dtype=np.float64)
    mode = asked.coordinates
    if mode == "asymmetric":
        return at / scale
    if mode == "align_corners":
        return at * (before - 1) / (after - 1) if after > 1 else at * 0
    if mode == "pytorch_half_pixel" and after == 1:
        return at * 0
    if mode == "tf_half_pixel_for_nn":
        return (at + 0.5) / scale
    if mode == "half_pixel_symmetric":
        adjusted = after / (scale * before)
        centre = before / 2
        return centre * (1 - adjusted) + (at + 0.5) / scale - 0.5
    return (at + 0.5) / scale - 0.5


def sources(asked: Resizing, axis: int) -> NDArray[np.int64]:
    """Which input pixel each output pixel of a nearest Resize copies, (after,)."""
    at = positions(asked, axis)
    rounded = {
        "floor": np.floor(at),
        "ceil": np.ceil(at),
        "round_prefer_ceil": np.floor(at + 0.5),
    }.get(asked.rounding, np.ceil(at - 0.5))
    return np.clip(rounded, 0, asked.before[axis] - 1).astype(np.int64)


def matrix(asked: Resizing, axis: int) -> Matrix:
    """Weights of the input pixels for each output pixel of an axis, (after, before)."""
    before, after = asked.before[axis], asked.after[axis]
    weights = np.zeros((after, before))
    if asked.mode == "nearest":
        weights[np.arange(after), sources(asked, axis)] = 1
        return weights
    at, shrink = positions(asked, axis), 1.0
    if asked.antialias:
        shrink = max(1.0, 1 / asked.scales[axis])
    reach = math.ceil((2 if asked.mode == "cubic" else 1) * shrink)
    for row, centre in enumerate(at):
        first = math.floor(centre) - reach + 1
        taps = np.arange(first, first + 2 * reach)
        values = _kernel(asked, (taps - centre) / shrink)
        if asked.exclude_outside:
            values = np.where((taps < 0) | (taps >= before), 0, values)
        if asked.exclude_outside or asked.antialias:
            values = values / values.sum()
        np.add.at(weights[row], np.clip(taps, 0, before - 1), values)
    return weights


def _kernel(asked: Resizing, distance: Matrix) -> Matrix:
    d = np.abs(distance)
    if asked.mode == "linear":
        tent: Matrix = np.maximum(0, 1 - d)
        return tent
    a = asked.cubic
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    weights: Matrix = np.where(d <= 1, near, np.where(d < 2, far, 0))
    return weights
