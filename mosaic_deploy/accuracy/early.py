"""Stop measuring once the verdict on all images is certain enough: looks at 16, 32 and 64 images of N.

Images are taken in a random order (seeded), without replacement. At a look the verdict that all N would
give is bounded: the drop on all N lies near the drop so far, give or take what the unseen images can do (the
sampling error of a finite population, Cochran, "Sampling techniques", 1977, chapter 2), and the ends of its
interval lie beside it by what groups of like images allow. Both are stated in spreads of the images'
influence on the drop (jackknife), with margins that spend an error of 5 % over the looks. That they do is
shown by simulation: ``benchmarks/early_verdict.py``.

What is not seen cannot be excluded: where a class that is common is lost on a few images and kept on all
others, an early look may miss those. A class that few images hold is guarded: labels are known beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from mosaic_deploy.accuracy.parity import ROUNDING
from mosaic_deploy.accuracy.tally import Rows, Tally

ALPHA = 0.05
"""The verdict at a look may differ from that on all images with this probability at most."""
LOOKS = ((16, 5.0), (32, 5.0), (64, 4.0))
"""Images at a look, and the spreads of sampling error that it allows for."""
_INTERVAL = 1.5 * 1.96
"""Spreads from the drop to the ends of the full run's interval: of a normal one, and half as much again, as
few groups make skewed ones."""
_SEEN = 8
"""Images in which each class must have been seen, or all that hold it."""

Early = Literal["holds", "fails"]


def decide(
    seen: Tally, *, spreads: float, images: int, holding: Rows, groups: Sequence[int], allowed: float
) -> Early | None:
    """The verdict that all images would give, or None where it is open.

    Args:
        seen: the images so far, a row each, which are a random sample of all.
        spreads: what the look allows for, of ``LOOKS``.
        images: how many there are in all.
        holding: (scored classes,) images in all whose truth holds each class.
        groups: sizes of the groups of like images among all; ones where each is on its own.
        allowed: the largest drop that passes.
    """
    number = len(seen.equal)
    if ((seen.truth > 0).sum(axis=0) < np.minimum(holding, _SEEN)).any():
        return None
    (drop,) = seen.total().drops()
    spread = float(influence(seen).std(ddof=1))
    sampling = spreads * np.sqrt(1 / number - 1 / images)
    width = _INTERVAL * np.sqrt(float((np.asarray(groups, float) ** 2).sum())) / images
    margin = spread * (sampling + width)
    if drop + margin <= allowed + ROUNDING:
        return "holds"
    return "fails" if drop - margin > allowed + ROUNDING else None


def influence(tally: Tally) -> Rows:
    """(rows,) how much each image moves the drop, in units of the drop on one image."""
    rows = len(tally.equal)
    (whole,) = tally.total().drops()
    left_out: Rows = tally.drawn(np.ones((rows, rows)) - np.eye(rows)).drops()
    moved: Rows = (rows - 1) * (whole - left_out)
    return moved
