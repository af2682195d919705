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

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np

from mosaic_deploy.accuracy import ties
from mosaic_deploy.accuracy.blind_spots import BlindSpots
from mosaic_deploy.accuracy.early_stop import EarlyStop
from mosaic_deploy.accuracy.limits import Limits
from mosaic_deploy.accuracy.parity import ROUNDING, ParityReport, measure
from mosaic_deploy.accuracy.silence import undecided
from mosaic_deploy.accuracy.tally import Maps, Rows, Tally, count
from mosaic_deploy.specs.labels import LabelSpace

ALPHA = 0.05
"""The verdict at a look may differ from that on all images with this probability at most."""
RUN_WHOLE = 32
"""Images up to which a set is run whole: there is little to spare, and few images to judge by."""
LOOKS = ((16, 5.0), (32, 5.0), (64, 4.0))
"""Images at a look, and the spreads of sampling error that it allows for."""
_INTERVAL = 1.5 * 1.96
"""Spreads from the drop to the ends of the full run's interval: of a normal one, and half as much again, as
few groups make skewed ones."""
_SEED = 0
_SEEN = 8
"""Images in which each class must have been seen, or all that hold it."""

Early = Literal["holds", "fails"]


@final
@dataclass(frozen=True, slots=True)
class Whole:
    """What is known of all images before the candidate has seen one, and what it is compared on."""

    labels: LabelSpace
    dataset: str
    limits: Limits
    groups: tuple[str, ...]
    """The group of each image."""
    holding: Rows
    """(scored classes,) images whose truth holds each class."""
    allowed: float
    """The largest drop that passes, beside the reference on all images."""

    @property
    def images(self) -> int:
        """How many there are."""
        return len(self.groups)

    def look(
        self, maps: Callable[[], Iterable[Maps]], seen: Sequence[int], *, spreads: float
    ) -> ParityReport | None:
        """The report on the images seen so far, with the verdict that all would give; None where it is open.

        Args:
            maps: gives the class maps of these images, as ``parity.measure`` takes them, and again.
            seen: their indices, which are a random sample of all.
            spreads: what the look allows for, of ``LOOKS``.
        """
        sizes = list(Counter(self.groups).values())
        ends = bounds(
            count(maps(), self.labels),
            spreads=spreads,
            images=self.images,
            holding=self.holding,
            groups=sizes,
        )
        verdict = None if ends is None else _verdict(ends, self.allowed)
        if verdict is None:
            return None
        groups = [self.groups[index] for index in seen]
        found = measure(
            maps(), labels=self.labels, dataset=self.dataset, tolerance=self.limits, groups=groups
        )
        if found.says_nothing:
            return None
        stop = EarlyStop(self.images, ALPHA, tuple(seen))
        return replace(
            found,
            verdict=verdict,
            passed=verdict == "holds",
            interval=ends,
            tolerance=self.allowed,
            undecided="",
            more_images=None,
            note=f"{stop.words} {found.note}".strip(),
            early=stop,
        )


def know(
    maps: Iterable[Maps],
    *,
    labels: LabelSpace,
    dataset: str,
    limits: Limits,
    groups: Sequence[str],
    tied: float = 0.0,
) -> Whole | None:
    """What an early verdict needs; None where none is to be had, so that all images are to be run.

    That is so without labels and for limits of single classes, for which the margins are not proven, and
    where the reference itself leaves the verdict open or sees a class that no label holds.

    Args:
        maps: of all images the truth, and the reference's class map twice.
        labels: what the ids mean.
        dataset: the data set's name.
        limits: the gate.
        groups: the group of each image.
        tied: share of the pixels on which the reference's best scores tie.
    """
    if limits.classes or ties.undecided(tied):
        return None
    blind = BlindSpots(labels)
    tally = count(blind.watch(maps), labels)
    total = tally.total()
    if not tally.labelled or blind.note() or undecided(total.seen[0], int(total.pixels[0, 0]), labels):
        return None
    allowed = limits.allowed(float(total.mious()[0][0]))
    return Whole(labels, dataset, limits, tuple(groups), (tally.truth > 0).sum(axis=0), allowed)


def order(images: int) -> tuple[int, ...]:
    """The images in the order in which they are run: a random one, always the same."""
    return tuple(int(index) for index in np.random.default_rng(_SEED).permutation(images))


def looks(images: int) -> tuple[tuple[int, float], ...]:
    """After how many of the images to look, and the spreads that each look allows for."""
    return () if images <= RUN_WHOLE else tuple(look for look in LOOKS if look[0] < images)


def decide(
    seen: Tally, *, spreads: float, images: int, holding: Rows, groups: Sequence[int], allowed: float
) -> Early | None:
    """The verdict that all images would give, or None where it is open.

    ``allowed`` is the largest drop that passes; the others are those of :func:`bounds`.
    """
    ends = bounds(seen, spreads=spreads, images=images, holding=holding, groups=groups)
    return None if ends is None else _verdict(ends, allowed)


def bounds(
    seen: Tally, *, spreads: float, images: int, holding: Rows, groups: Sequence[int]
) -> tuple[float, float] | None:
    """Between what drops the interval on all images lies; None before each class was seen often enough.

    Args:
        seen: the images so far, a row each, which are a random sample of all.
        spreads: what the look allows for, of ``LOOKS``.
        images: how many there are in all.
        holding: (scored classes,) images in all whose truth holds each class.
        groups: sizes of the groups of like images among all; ones where each is on its own.
    """
    number = len(seen.equal)
    if ((seen.truth > 0).sum(axis=0) < np.minimum(holding, _SEEN)).any():
        return None
    (drop,) = seen.total().drops()
    spread = float(influence(seen).std(ddof=1))
    sampling = spreads * np.sqrt(1 / number - 1 / images)
    width = _INTERVAL * np.sqrt(float((np.asarray(groups, float) ** 2).sum())) / images
    margin = spread * float(sampling + width)
    return float(drop) - margin, float(drop) + margin


def _verdict(ends: tuple[float, float], allowed: float) -> Early | None:
    if ends[1] <= allowed + ROUNDING:
        return "holds"
    return "fails" if ends[0] > allowed + ROUNDING else None


def influence(tally: Tally) -> Rows:
    """(rows,) how much each image moves the drop, in units of the drop on one image."""
    rows = len(tally.equal)
    (whole,) = tally.total().drops()
    left_out: Rows = tally.drawn(np.ones((rows, rows)) - np.eye(rows)).drops()
    moved: Rows = (rows - 1) * (whole - left_out)
    return moved
