"""Segmentation metrics, counted in integers and divided once, at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.specs.labels import IGNORE

Counts = NDArray[np.int64]
Averaging = Literal["present", "all", "with_unscored"]
"""Which IoUs a mean is over; they differ only where a class is missing or an unscored one is predicted.

``present``: the scored classes that occur in truth or prediction (MLPerf's Python script, and what CamVid
and Cityscapes papers report). The default: a subset without some class does not look worse for it.
``all``: every scored class, one that does not occur counting as 0 (MLPerf's app, which always divides by
31). ``with_unscored``: as ``present``, and an unscored id that is predicted where a scored class belongs
counts as a class of IoU 0 (TensorFlow 1's ``mean_iou`` with weight 0 on the unscored label).
On the whole validation set of ADE20K the first two agree: all 31 classes occur.
"""


def confusion(truth: NDArray[np.integer], predicted: NDArray[np.integer], *, classes: int) -> Counts:
    """Count pixels per (truth, prediction) pair.

    Args:
        truth: class ids in [0, classes), 255 where a pixel is not scored; any shape.
        predicted: class ids in [0, classes), the same shape; any value where truth is 255.
        classes: how many ids there are.

    Returns:
        (classes, classes) int64; rows are truth.

    Raises:
        ValueError: the shapes differ, or an id that is scored lies outside [0, classes).
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth {truth.shape} and prediction {predicted.shape} differ in shape")
    keep = truth != IGNORE
    rows, columns = truth[keep].astype(np.int64), predicted[keep].astype(np.int64)
    for name, ids in (("truth", rows), ("prediction", columns)):
        if ids.size and not (ids.min() >= 0 and ids.max() < classes):
            strange = ids.max() if ids.max() >= classes else ids.min()
            raise ValueError(f"{name} holds the id {strange}, classes are 0..{classes - 1}")
    return np.bincount(classes * rows + columns, minlength=classes**2).reshape(classes, classes)


def overlaps(counts: Counts, scored: Sequence[int]) -> tuple[Counts, Counts]:
    """Intersection and union in pixels of each scored class, both (len(scored),) int64.

    Only pixels whose truth is a scored class count. TP + FP + FN is the union; a prediction of an unscored id
    there is a miss (FN) of the true class and no one's false alarm. Sums over images may be divided.
    """
    ids = list(scored)
    valid = counts[ids]
    hits = counts[ids, ids]
    return hits, valid.sum(axis=1) + valid[:, ids].sum(axis=0) - hits


def iou(counts: Counts, scored: Sequence[int]) -> NDArray[np.float64]:
    """Intersection over union of each scored class, in [0, 1]; NaN where it is in neither map.

    IoU_c = TP / (TP + FP + FN) on the pixels whose truth is a scored class.
    """
    hits, union = overlaps(counts, scored)
    ratio: NDArray[np.float64] = np.full(len(hits), np.nan)
    np.divide(hits, union, out=ratio, where=union > 0)
    return ratio


def mean_iou(counts: Counts, scored: Sequence[int], *, averaging: Averaging = "present") -> float:
    """Mean of :func:`iou`, in [0, 1], over the classes that ``averaging`` says; NaN if there are none."""
    ratios = iou(counts, scored)
    present = ratios[~np.isnan(ratios)]
    divisor = present.size
    if averaging == "all":
        divisor = ratios.size
    elif averaging == "with_unscored":
        others = [i for i in range(len(counts)) if i not in set(scored)]
        divisor += int((counts[list(scored)][:, others].sum(axis=0) > 0).sum())
    return float(present.sum() / divisor) if divisor and counts[list(scored)].sum() else float("nan")
