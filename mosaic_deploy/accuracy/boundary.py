"""IoU on the band along the classes' borders, where small losses of large objects do not drown.

Boundary IoU (Cheng, Girshick, Dollár, Berg, Kirillov: "Boundary IoU: Improving Object-Centric Image
Segmentation Evaluation", CVPR 2021, arXiv 2103.16562): of each mask only the pixels count that lie within d
of its contour, and the IoU is of these. Here as there, d is 2 % of the image's diagonal, and distance is
along rows and columns, the larger of both. Otherwise than there the image's own edge and the edge of what
has no label are no contour: of what lies beyond nothing is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.specs.labels import IGNORE, LabelSpace, Pixels

SHARE = 0.02
"""Of the image's diagonal: half the width of the band."""
Maps = tuple[Pixels | None, Pixels, Pixels]


@final
class Boundary:
    """Counts the bands of class maps that pass by; without labels, the reference stands for the truth."""

    def __init__(self, labels: LabelSpace) -> None:
        self._scored = list(labels.scored)
        self._classes = len(labels.classes) + 1
        self._truth, *self._networks = np.zeros((5, self._classes), np.int64)

    def watch(self, maps: Iterable[Maps]) -> Iterator[Maps]:
        """Hand the maps on; those of an image count once the next is asked for, so that they were taken."""
        for truth, reference, candidate in maps:
            yield truth, reference, candidate
            self._count(reference if truth is None else truth, reference, candidate)

    def mious(self) -> tuple[float, float]:
        """Mean over the scored classes whose truth has a border, of reference and candidate; NaN for none."""
        has = self._truth[self._scored] > 0
        if not has.any():
            return float("nan"), float("nan")
        ours, ours_both, theirs, theirs_both = (counts[self._scored][has] for counts in self._networks)
        truth = self._truth[self._scored][has]
        return (
            float((ours_both / (truth + ours - ours_both)).mean()),
            float((theirs_both / (truth + theirs - theirs_both)).mean()),
        )

    def _count(self, truth: Pixels, reference: Pixels, candidate: Pixels) -> None:
        distance = reach(truth.shape)
        scored = np.isin(truth, self._scored)
        known = np.where(scored, truth, IGNORE)
        border = band(known, distance) & scored
        self._truth += self._histogram(known[border])
        for index, ids in enumerate((reference, candidate)):
            held = np.where(scored, np.minimum(ids, self._classes - 1), IGNORE).astype(np.uint8)
            own = band(held, distance) & scored
            self._networks[2 * index] += self._histogram(held[own])
            self._networks[2 * index + 1] += self._histogram(known[border & own & (known == held)])

    def _histogram(self, ids: Pixels) -> NDArray[np.int64]:
        return np.bincount(ids, minlength=self._classes).astype(np.int64)


def reach(shape: tuple[int, ...]) -> int:
    """How far from a contour the band goes, in pixels, at least 1."""
    return max(1, round(SHARE * math.hypot(*shape)))


def band(ids: Pixels, distance: int) -> NDArray[np.bool_]:
    """(H, W) whether another class, 255 not counting, lies within ``distance`` rows and columns."""
    least = _spread(ids, distance, np.minimum, 255)
    most = _spread(np.where(ids == IGNORE, 0, ids + 1).astype(np.uint8), distance, np.maximum, 0)
    other: NDArray[np.bool_] = most > least.astype(np.int16) + 1
    return other


def _spread(values: Pixels, distance: int, pick: Callable[[Pixels, Pixels], Any], outside: int) -> Pixels:
    """The least or largest value of a square of 2 * distance + 1 pixels around each, ``outside`` beyond."""
    wanted = 2 * distance + 1
    for _ in range(2):  # along the rows, and turned along the columns
        held = np.pad(values, ((distance, distance), (0, 0)), constant_values=outside)
        width = 1
        while width < wanted:  # windows double until they are as wide as asked for
            step = min(width, wanted - width)
            held, width = pick(held[step:], held[:-step]), width + step
        values = np.ascontiguousarray(held.T)
    return values
