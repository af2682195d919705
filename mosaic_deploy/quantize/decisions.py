"""What a network decides on an image, and how much of that another graph of it changes; for child processes.

A letterbox's padding is no picture: what a network says there is chance, its best scores nearly tie. It
decides nothing here, as it decides nothing in parity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.workers.worker import JsonObject

Part = tuple[float, float]
"""Shares of an image's rows and of its columns, from the top left, in (0, 1]."""
WHOLE: Part = (1.0, 1.0)
_COLOURS = 3


@dataclass(frozen=True, slots=True)
class Decision:
    """What a network says of an image, at the size of its scores."""

    ids: NDArray[np.int64]
    margin: NDArray[np.float32]
    """Of the best score over the second; 1 where there are no scores to compare."""


def threshold_of(request: JsonObject) -> float:
    """The threshold that a request states, as a contract has it; 0 where that has none."""
    return float(request.get("threshold") or 0.0)


def picture(image: NDArray[Any]) -> Part:
    """Which part of a prepared image, (1, 3, H, W) or (1, H, W, 3), comes before its padding.

    Padding is the rows at the bottom and the columns at the right that have the last pixel's colour
    throughout. An image of one colour is all picture.
    """
    if image.ndim != 4:
        return WHOLE
    pixels = image[0] if image.shape[1] == _COLOURS else np.moveaxis(image[0], -1, 0)
    plain = (pixels == pixels[:, -1:, -1:]).all(axis=0)
    rows, columns = ((~plain).any(axis=axis).nonzero()[0] for axis in (1, 0))
    if not rows.size:
        return WHOLE
    return (int(rows[-1]) + 1) / plain.shape[0], (int(columns[-1]) + 1) / plain.shape[1]


def decide(
    output: NDArray[Any], *, channels_last: bool, part: Part = WHOLE, threshold: float = 0.0
) -> Decision:
    """Read scores, of one or several channels, or class ids, of a part of the image.

    A lone score above ``threshold`` is the foreground's, and its margin is how far it lies from that.
    """
    if output.ndim != 4 or output.dtype.kind in "iu":
        ids = _within(output.squeeze(), part).astype(np.int64)
        return Decision(ids, np.ones(ids.shape, np.float32))
    scores = _within(np.moveaxis(output[0], -1, 0) if channels_last else output[0], part)
    if len(scores) == 1:
        above = scores[0] - np.float32(threshold)
        return Decision((above > 0).astype(np.int64), np.abs(above))
    best = np.partition(scores, -2, axis=0)[-2:]
    return Decision(scores.argmax(axis=0), best[1] - best[0])


def _within(values: NDArray[Any], part: Part) -> NDArray[Any]:
    """The part of (..., h, w) values."""
    if part == WHOLE or values.ndim < 2:
        return values
    rows, columns = (math.ceil(share * side) for share, side in zip(part, values.shape[-2:], strict=True))
    return values[..., :rows, :columns]


def changed(first: Sequence[Decision], second: Sequence[Decision]) -> tuple[float, float]:
    """Shares of the pixels, and of the margin of all pixels, whose class is another in ``second``."""
    flips = pixels = 0
    lost = margin = 0.0
    for ours, theirs in zip(first, second, strict=True):
        other = ours.ids != theirs.ids
        flips, pixels = flips + int(other.sum()), pixels + other.size
        lost, margin = lost + float(ours.margin[other].sum()), margin + float(ours.margin.sum())
    return flips / max(pixels, 1), lost / margin if margin else 0.0
