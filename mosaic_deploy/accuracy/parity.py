"""Parity: does the candidate still see what the reference sees? A number, its uncertainty and a verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.accuracy import silence
from mosaic_deploy.accuracy.blind_spots import BlindSpots
from mosaic_deploy.accuracy.metrics import confusion, overlaps
from mosaic_deploy.errors import DataError, UsageError
from mosaic_deploy.specs.labels import LabelSpace, Pixels

Maps = tuple[Pixels | None, Pixels, Pixels]
"""Of one image, all (H, W) ids: the truth (255 = not scored) or None, the reference's, the candidate's."""
Rows = NDArray[Any]
"""Counts in pixels: int64, or float64 that holds whole numbers."""
Shares = NDArray[np.float64]

ROUNDING = 1e-12
"""How far a drop may lie over the tolerance and still be equal to it: doubles round."""
LOST_BELOW_IOU = 0.5
LOST_FROM_SHARE = silence.SEEN_FROM_SHARE
"""Without labels, a class on this share of the reference's pixels must keep that IoU."""
_RESAMPLES, _CHUNK = 1000, 100
_FEWEST = 2
_SEED = 0
_WORST = 5


@final
@dataclass(frozen=True, slots=True)
class ParityReport:
    """Reference against candidate on one data set.

    With labels the metric is ``miou``: ``reference`` and ``candidate`` are mIoU against the truth, each a
    mean over the scored classes that occur in the truth, so that both are over the same classes. Without
    labels it is ``agreement``: the reference's own predictions are the truth, ``reference`` is 1 and
    ``candidate`` the share of pixels on which it agrees: whatever the right labels are, its pixel accuracy
    cannot have fallen by more than that drop.
    """

    metric: Literal["miou", "agreement"]
    dataset: str
    images: int
    reference: float
    """In [0, 1]; NaN if there was nothing to measure."""
    candidate: float
    drop: float
    """``reference - candidate``; negative where the candidate is better."""
    tolerance: float
    """The largest drop that passes, in [0, 1]."""
    agreement: float
    """Share of the pixels (with labels: of those scored) to which both give the same class, in [0, 1]."""
    per_class: tuple[tuple[str, float, float], ...]
    """Name, IoU of the reference and of the candidate for each scored class; NaN where it does not occur.
    Without labels the IoU is against the reference's predictions."""
    passed: bool
    """The drop is at most the tolerance, and without labels no class is lost. Never where it is undecided."""
    interval: tuple[float, float] | None = None
    """95 % confidence interval of the drop: had other images of the same kind been drawn, by a bootstrap over
    images. None for fewer than two images."""
    note: str = ""
    """What a reader must know to read the verdict rightly."""
    worst: tuple[tuple[int, float], ...] = ()
    """Index and drop of the images that lost most, the worst first."""
    undecided: str = ""
    """Why the comparison says nothing, or ''. Nothing was compared, the reference gives one class everywhere
    (no other on ``LOST_FROM_SHARE`` of the pixels), or the candidate loses a class that no label holds."""
    largest: tuple[str, float] | None = None
    """The class that the reference gives most often, and its share of the compared pixels."""

    def to_json(self) -> dict[str, object]:
        """The report as JSON's types; null stands for NaN."""
        return {
            "metric": self.metric,
            "dataset": self.dataset,
            "images": self.images,
            "reference": _number(self.reference),
            "candidate": _number(self.candidate),
            "drop": _number(self.drop),
            "tolerance": self.tolerance,
            "agreement": _number(self.agreement),
            "per_class": [
                {"class": name, "reference": _number(ours), "candidate": _number(theirs)}
                for name, ours, theirs in self.per_class
            ],
            "passed": self.passed,
            "interval": None if self.interval is None else [_number(end) for end in self.interval],
            "note": self.note,
            "undecided": self.undecided,
            "largest": None if self.largest is None else {"class": self.largest[0], "share": self.largest[1]},
        }


@dataclass(frozen=True, slots=True)
class _Tally:
    """Counts in pixels. Each row is an image, or a sum over images; the columns are the scored classes."""

    labelled: bool
    truth: Rows
    hits: Rows
    """Intersection of the reference with the truth."""
    union: Rows
    other_hits: Rows
    """Intersection of the candidate with the truth."""
    other_union: Rows
    equal: Rows
    """(rows, 1) pixels to which both give the same class."""
    pixels: Rows
    """(rows, 1) pixels that are compared."""
    seen: Rows
    """(rows, all classes) what the reference gives on these pixels."""

    def drawn(self, times: Rows) -> _Tally:
        """Sum the rows, each as often as (draws, rows) says; one row per draw."""
        parts = (self.hits, self.union, self.other_hits, self.other_union, self.equal, self.pixels, self.seen)
        return _Tally(self.labelled, times @ self.truth, *(times @ part for part in parts))

    def total(self) -> _Tally:
        """One row that is the sum of all; exact, since the counts stay integers."""
        return self.drawn(np.ones((1, len(self.equal)), np.int64))

    def mious(self) -> tuple[Shares, Shares]:
        """Mean IoU of reference and candidate, (rows,) each, over the classes that occur in its truth."""
        occurs = self.truth > 0
        ours, theirs = (
            _divide(np.where(occurs, _divide(hits, union), 0).sum(axis=1), occurs.sum(axis=1))
            for hits, union in ((self.hits, self.union), (self.other_hits, self.other_union))
        )
        return ours, theirs

    def agreements(self) -> Shares:
        """(rows,) share of the compared pixels that are equal."""
        return _divide(self.equal, self.pixels)[:, 0]

    def drops(self) -> Shares:
        """(rows,) fall of mIoU, or without labels of agreement; NaN where there is nothing to compare."""
        if not self.labelled:
            return 1 - self.agreements()
        reference, candidate = self.mious()
        return reference - candidate


def measure(maps: Iterable[Maps], *, labels: LabelSpace, dataset: str, tolerance: float) -> ParityReport:
    """Compare two networks' class maps, image by image; only counts are kept in memory.

    Args:
        maps: of each image the truth or None, the reference's and the candidate's class map, of one size. A
            candidate's id that is no class counts as wrong.
        labels: what the ids mean.
        dataset: the data set's name, for the report.
        tolerance: the largest drop that passes, in [0, 1].

    Raises:
        UsageError: the tolerance is no share.
        DataError: some images have labels and others none.
        ValueError: the maps of an image differ in size, or truth or reference hold an id that is no class.
    """
    if not 0 <= tolerance <= 1:
        raise UsageError(f"tolerance {tolerance} is not between 0 and 1")
    blind = BlindSpots(labels)
    tally = _count(blind.watch(maps), labels)
    images, total = len(tally.equal), tally.total()
    (reference,), (candidate,) = total.mious()
    (agreement,) = total.agreements()
    if not tally.labelled:
        reference, candidate = 1.0, agreement
    drop = float(reference - candidate)
    lost = () if tally.labelled else _lost(total, labels)
    seen = total.seen[0], int(total.pixels[0, 0]), labels
    held = drop <= tolerance + ROUNDING and not lost
    largest, undecided = silence.largest(*seen), silence.undecided(*seen) or (blind.lost() if held else "")
    return ParityReport(
        metric="miou" if tally.labelled else "agreement",
        dataset=dataset,
        images=images,
        reference=float(reference),
        candidate=float(candidate),
        drop=drop,
        tolerance=tolerance,
        agreement=float(agreement),
        per_class=_per_class(total, labels),
        passed=held and not undecided,
        interval=_interval(tally, rng=np.random.default_rng(_SEED)),
        note=(silence.warning(largest) + _note(total, lost) + blind.note()).strip()
        if images
        else "No images: nothing was measured.",
        worst=_worst(tally),
        undecided=undecided,
        largest=largest,
    )


def _count(maps: Iterable[Maps], labels: LabelSpace) -> _Tally:
    rows: list[tuple[Rows, ...]] = []
    labelled: bool | None = None
    for label, reference, candidate in maps:
        if labelled is not None and labelled != (label is not None):
            raise DataError("some images have labels and others none: measure them separately")
        labelled = label is not None
        rows.append(_count_image(label, reference, candidate, labels))
    if not rows:
        wide, narrow = np.zeros((0, len(labels.scored)), np.int64), np.zeros((0, 1), np.int64)
        columns = [wide] * 5 + [narrow] * 2 + [np.zeros((0, len(labels.classes)), np.int64)]
    else:
        columns = [np.stack(column) for column in zip(*rows, strict=True)]
    return _Tally(labelled is not False, *columns)


def _count_image(
    label: Pixels | None, reference: Pixels, candidate: Pixels, labels: LabelSpace
) -> tuple[Rows, ...]:
    """The row of one image, in the order of :class:`_Tally`."""
    wrong, scored = len(labels.classes), list(labels.scored)
    candidate = np.where(candidate < wrong, candidate, wrong)
    truth = reference if label is None else label
    ours = confusion(truth, reference, classes=wrong + 1)
    theirs = confusion(truth, candidate, classes=wrong + 1)
    if ours[wrong].any() or ours[:, wrong].any():
        raise ValueError(f"truth or reference hold the id {wrong}, classes are 0..{wrong - 1}")
    compared = np.ones(reference.shape, bool) if label is None else np.isin(label, scored)
    equal = np.count_nonzero((reference == candidate) & compared)
    pixels = np.count_nonzero(compared)
    seen = np.bincount(reference[compared].ravel(), minlength=wrong)
    overlap = (*overlaps(ours, scored), *overlaps(theirs, scored))
    return (ours[scored].sum(axis=1), *overlap, np.array([equal]), np.array([pixels]), seen)


def _interval(tally: _Tally, *, rng: np.random.Generator) -> tuple[float, float] | None:
    """95 % confidence interval of the drop by a bootstrap over images; None where none can be had."""
    images = len(tally.equal)
    if images < _FEWEST:
        return None
    share = np.full(images, 1 / images)
    draws = (rng.multinomial(images, share, size=_CHUNK) for _ in range(_RESAMPLES // _CHUNK))
    drops = np.concatenate([tally.drawn(times.astype(np.float64)).drops() for times in draws])
    drops = drops[~np.isnan(drops)]
    if not drops.size:
        return None
    low, high = np.percentile(drops, [2.5, 97.5])
    return float(low), float(high)


def _per_class(total: _Tally, labels: LabelSpace) -> tuple[tuple[str, float, float], ...]:
    names = [labels.classes[i] for i in labels.scored]
    ours = _divide(total.hits, total.union)[0].tolist()
    theirs = _divide(total.other_hits, total.other_union)[0].tolist()
    return tuple(zip(names, ours, theirs, strict=True))


def _lost(total: _Tally, labels: LabelSpace) -> tuple[str, ...]:
    """Classes that the reference sees often and the candidate no longer does."""
    often = total.truth[0] >= np.maximum(LOST_FROM_SHARE * total.pixels[0], 1)
    kept = _divide(total.other_hits, total.other_union)[0] >= LOST_BELOW_IOU
    return tuple(labels.classes[i] for i, out in zip(labels.scored, often & ~kept, strict=True) if out)


def _note(total: _Tally, lost: Sequence[str]) -> str:
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


def _worst(tally: _Tally) -> tuple[tuple[int, float], ...]:
    drops = tally.drops()
    order = [int(i) for i in np.argsort(-drops, kind="stable") if drops[i] > 0]
    return tuple((i, float(drops[i])) for i in order[:_WORST])


def _divide(part: Rows, whole: Rows) -> Shares:
    """Part over whole, NaN where the whole is 0."""
    share: Shares = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
