"""What the counts say beside the drop: of classes and images, and what a reader must know."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mosaic_deploy.accuracy import silence
from mosaic_deploy.accuracy.tally import Tally, divide
from mosaic_deploy.specs.labels import LabelSpace

LOST_BELOW_IOU = 0.5
LOST_FROM_SHARE = silence.SEEN_FROM_SHARE
"""Without labels, a class on this share of the reference's pixels must keep that IoU."""
_WORST = 5


def over_all_classes(total: Tally) -> tuple[float, float]:
    """Mean IoU of reference and candidate over every scored class, an absent one counting as 0."""
    (ours,), (theirs,) = total.over_all_classes()
    return float(ours), float(theirs)


def per_class(total: Tally, labels: LabelSpace) -> tuple[tuple[str, float, float], ...]:
    """Name and both IoU of each scored class; NaN where it does not occur."""
    names = [labels.classes[i] for i in labels.scored]
    ours = divide(total.hits, total.union)[0].tolist()
    theirs = divide(total.other_hits, total.other_union)[0].tolist()
    return tuple(zip(names, ours, theirs, strict=True))


def lost(total: Tally, labels: LabelSpace) -> tuple[str, ...]:
    """Classes that the reference sees often and the candidate no longer does."""
    often = total.truth[0] >= np.maximum(LOST_FROM_SHARE * total.pixels[0], 1)
    kept = divide(total.other_hits, total.other_union)[0] >= LOST_BELOW_IOU
    return tuple(labels.classes[i] for i, out in zip(labels.scored, often & ~kept, strict=True) if out)


def note(total: Tally, lost: Sequence[str]) -> str:
    """What a reader must know to read the verdict rightly, or ''; ``lost`` are the classes of ``lost()``."""
    (reference,), (candidate,) = total.mious()
    if not total.labelled:
        gone = f" Lost: {', '.join(lost)}." if lost else ""
        return (
            "No labels: the reference's own predictions stand for the truth, so this shows that little has "
            "changed, not that either is right. Passes if the share of pixels that differ is within the "
            f"tolerance and every class the reference sees on {LOST_FROM_SHARE:.2%} of the pixels keeps an "
            f"IoU of {LOST_BELOW_IOU} with it. mIoU against the reference: {candidate:.4f}.{gone}"
        )
    if math.isnan(reference):
        return "No pixel is of a scored class: nothing was measured."
    truth = total.truth[0]
    constant = truth.max() / truth.sum() / np.count_nonzero(truth)
    if reference > constant:
        return ""
    return (
        f"The reference's mIoU is no better than that of one class everywhere ({constant:.4f}): parity "
        "with it means little. Do the data's classes fit the model, and is it trained?"
    )


def worst(tally: Tally) -> tuple[tuple[int, float], ...]:
    """Index and drop of the images that lost most, the worst first."""
    drops = tally.drops()
    order = [int(i) for i in np.argsort(-drops, kind="stable") if drops[i] > 0]
    return tuple((i, float(drops[i])) for i in order[:_WORST])
