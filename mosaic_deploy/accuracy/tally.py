"""Counts of a comparison in pixels, an image a row: what every figure of parity is computed from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosaic_deploy.accuracy.metrics import confusion, overlaps
from mosaic_deploy.errors import DataError
from mosaic_deploy.specs.labels import LabelSpace, Pixels

Maps = tuple[Pixels | None, Pixels, Pixels]
"""Of one image, all (H, W) ids: the truth (255 = not scored) or None, the reference's, the candidate's."""
Rows = NDArray[Any]
"""Counts in pixels: int64, or float64 that holds whole numbers."""
Shares = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tally:
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

    def drawn(self, times: Rows) -> Tally:
        """Sum the rows, each as often as (draws, rows) says; one row per draw."""
        parts = (self.hits, self.union, self.other_hits, self.other_union, self.equal, self.pixels, self.seen)
        return Tally(self.labelled, times @ self.truth, *(times @ part for part in parts))

    def total(self) -> Tally:
        """One row that is the sum of all; exact, since the counts stay integers."""
        return self.drawn(np.ones((1, len(self.equal)), np.int64))

    def grouped(self, groups: Sequence[str]) -> Tally:
        """Sum the rows of each group, named row by row; one row per group, as they first come."""
        order = {name: index for index, name in enumerate(dict.fromkeys(groups))}
        member = np.zeros((len(order), len(groups)), np.int64)
        member[[order[name] for name in groups], np.arange(len(groups))] = 1
        return self.drawn(member)

    def over_all_classes(self) -> tuple[Shares, Shares]:
        """Mean IoU of reference and candidate, (rows,) each, over every scored class; an absent one is 0."""
        ours, theirs = (
            np.nan_to_num(divide(hits, union)).mean(axis=1)
            for hits, union in ((self.hits, self.union), (self.other_hits, self.other_union))
        )
        return ours, theirs

    def mious(self) -> tuple[Shares, Shares]:
        """Mean IoU of reference and candidate, (rows,) each, over the classes that occur in its truth."""
        occurs = self.truth > 0
        ours, theirs = (
            divide(np.where(occurs, divide(hits, union), 0).sum(axis=1), occurs.sum(axis=1))
            for hits, union in ((self.hits, self.union), (self.other_hits, self.other_union))
        )
        return ours, theirs

    def agreements(self) -> Shares:
        """(rows,) share of the compared pixels that are equal."""
        return divide(self.equal, self.pixels)[:, 0]

    def drops(self) -> Shares:
        """(rows,) fall of mIoU, or without labels of agreement; NaN where there is nothing to compare."""
        if not self.labelled:
            return 1 - self.agreements()
        reference, candidate = self.mious()
        return reference - candidate


def count(maps: Iterable[Maps], labels: LabelSpace) -> Tally:
    """Count image by image.

    Raises ``DataError`` where some images have labels and others none, and ``ValueError`` for maps of
    different sizes, or an id of truth or reference that is no class.
    """
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
    return Tally(labelled is not False, *columns)


def _count_image(
    label: Pixels | None, reference: Pixels, candidate: Pixels, labels: LabelSpace
) -> tuple[Rows, ...]:
    """The row of one image, in the order of :class:`Tally`."""
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


def divide(part: Rows, whole: Rows) -> Shares:
    """Part over whole, NaN where the whole is 0."""
    share: Shares = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share
