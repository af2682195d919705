"""Classes that the labels never hold although the network sees them: mIoU cannot tell what becomes of them.

That happens where a mask's foreground is written as 255, which means ignored, or where labels and network
number their classes differently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import final

import numpy as np

from mosaic_deploy.specs.labels import LabelSpace, Pixels

SEEN_FROM_SHARE = 5e-3
"""Of all pixels, ignored ones included: what the reference gives less often may be its mistake."""
LOST_BELOW_IOU = 0.5
"""With the reference's own pixels of the class."""


@final
class BlindSpots:
    """Counts pixels of class maps that pass by."""

    def __init__(self, labels: LabelSpace) -> None:
        self._labels = labels
        count = len(labels.classes)
        self._truth, self._reference, self._candidate, self._both = np.zeros((4, count + 1), np.int64)
        self._pixels = 0

    def watch(
        self, maps: Iterable[tuple[Pixels | None, Pixels, Pixels]]
    ) -> Iterator[tuple[Pixels | None, Pixels, Pixels]]:
        """Hand the maps on; those without labels are not counted."""
        for truth, reference, candidate in maps:
            if truth is not None:
                self._count(truth, reference, candidate)
            yield truth, reference, candidate

    def lost(self) -> str:
        """Say which such classes the candidate loses, or ''."""
        gone = [i for i in self._unlabelled() if self._iou(i) < LOST_BELOW_IOU]
        if not gone:
            return ""
        first, *more = gone
        name = f"{self._labels.classes[first]}{f' and {len(more)} more' if more else ''}"
        return (
            f"says nothing of class {name}: no label holds it (its pixels are 255, or another id); the float "
            f"network gives it on {self._share(first):.2%} of the pixels, and the candidate keeps an IoU "
            f"of {self._iou(first):.2f} with those"
        )

    def note(self) -> str:
        """Say which classes mIoU leaves out though the network sees them, or ''."""
        unlabelled = self._unlabelled()
        if not unlabelled:
            return ""
        named = ", ".join(f"{self._labels.classes[i]} ({self._share(i):.2%})" for i in unlabelled)
        return f" No label holds what the float network sees as {named}: mIoU leaves that out."

    def _count(self, truth: Pixels, reference: Pixels, candidate: Pixels) -> None:
        other = len(self._labels.classes)
        for held, ids in (
            (self._truth, truth),
            (self._reference, reference),
            (self._candidate, candidate),
            (self._both, reference[reference == candidate]),
        ):
            held += np.bincount(np.minimum(ids, other).ravel(), minlength=other + 1)
        self._pixels += reference.size

    def _unlabelled(self) -> list[int]:
        least = max(SEEN_FROM_SHARE * self._pixels, 1)
        return [i for i in self._labels.scored if not self._truth[i] and self._reference[i] >= least]

    def _share(self, index: int) -> float:
        return float(self._reference[index] / self._pixels)

    def _iou(self, index: int) -> float:
        union = self._reference[index] + self._candidate[index] - self._both[index]
        return float(self._both[index] / union) if union else 1.0
