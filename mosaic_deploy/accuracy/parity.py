"""Parity: does the candidate still see what the reference sees? A number, its uncertainty and a verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Literal, final

from mosaic_deploy.accuracy import bootstrap, boundary, findings, silence, ties
from mosaic_deploy.accuracy.blind_spots import BlindSpots
from mosaic_deploy.accuracy.early_stop import EarlyStop
from mosaic_deploy.accuracy.limits import Limits
from mosaic_deploy.accuracy.tally import Maps, Tally, count
from mosaic_deploy.specs.labels import LabelSpace

Verdict = Literal["holds", "fails", "undecided"]

ROUNDING = 1e-12
"""How far a drop may lie over the tolerance and still be equal to it: doubles round."""
FEWEST_GROUPS = 5
"""Of groups of images, below which there is no interval and the drop alone decides."""
_MOST_MORE = 100
"""Times the images at hand; where more than that would be needed, the drop lies at the tolerance."""


_WORST_FIRST = ("fails", "undecided", "holds")


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
    """The verdict is ``holds``; or the interval leaves it open, and ``--undecided pass`` lets that go."""
    interval: tuple[float, float] | None = None
    """95 % confidence interval of the drop: had other images of the same kind been drawn, by a bootstrap over
    groups of images that are alike. None for fewer than ``FEWEST_GROUPS`` groups."""
    note: str = ""
    """What a reader must know to read the verdict rightly."""
    worst: tuple[tuple[int, float], ...] = ()
    """Index and drop of the images that lost most, the worst first."""
    worst_names: tuple[str, ...] = ()
    """What these images are called in their data set; empty where nobody said."""
    undecided: str = ""
    """Why there is no verdict, or ''. Nothing was compared, the reference gives one class everywhere (no
    other on ``findings.LOST_FROM_SHARE`` of the pixels), its best scores tie, the candidate loses a class
    that no label holds, or the tolerance lies within the interval."""
    largest: tuple[str, float] | None = None
    """The class that the reference gives most often, and its share of the compared pixels."""
    verdict: Verdict = "undecided"
    """``holds`` where the interval lies within the tolerance, ``fails`` where it lies beyond, or a class lost
    more than it may. Without an interval the drop alone decides, and that is of these images alone."""
    more_images: int | None = None
    """How many images more would decide, if they were like these; only where the interval leaves it open."""
    groups: int = 0
    """Groups of images that were drawn together; as many as images where none are known to be alike."""
    keep: float | None = None
    """The share of the reference that had to be kept, where the tolerance was stated so."""
    class_limits: tuple[tuple[str, float], ...] = ()
    """Classes with a limit of their own: name, and the largest drop of its IoU."""
    classes_over: tuple[str, ...] = ()
    """Those of them that dropped by more."""
    all_classes: tuple[float, float] | None = None
    """mIoU of reference and candidate over every scored class, one that does not occur counting as 0: MLPerf
    Mobile's ADE20K metric. None without labels."""
    per_image: tuple[float, ...] = ()
    """The drop on each image, in the images' order; NaN where nothing is scored."""

    tied: float = 0.0
    """Share of the pixels, at the reference's own size, on which its best scores tie."""
    boundary: tuple[float, float] | None = None
    """Mean IoU of reference and candidate on the band along the classes' borders, ``boundary.SHARE`` of the
    diagonal to either side; NaN where there is no border. Without labels against the reference."""
    early: EarlyStop | None = None
    """Where fewer images were run than there are. ``interval`` is then where that of all of them lies; every
    other figure is of those that were run."""

    @property
    def counted(self) -> str:
        """How many images were run, ``32``, or of how many, ``32 of 101``."""
        return f"{self.images}" if self.early is None else f"{self.images} of {self.early.of}"

    @property
    def says_nothing(self) -> bool:
        """Whether the comparison itself is void, so that no more images of the kind would help."""
        return self.verdict == "undecided" and self.more_images is None

    @property
    def rank(self) -> tuple[int, float]:
        """Sorts the worst of several variants to the front: by the verdict, then by the drop."""
        return _WORST_FIRST.index(self.verdict), -self.drop

    def named(self, names: Sequence[str]) -> ParityReport:
        """The same with what images are called: ``names`` of those that were run, in their order."""
        return replace(self, worst_names=tuple(names[index] for index, _ in self.worst))

    def _index(self, index: int) -> int:
        """Of an image that was run, its index among all."""
        return index if self.early is None else self.early.images[index]

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
            "verdict": self.verdict,
            "more_images": self.more_images,
            "groups": self.groups,
            "keep": self.keep,
            "class_limits": dict(self.class_limits),
            "classes_over": list(self.classes_over),
            "all_classes": None if self.all_classes is None else [_number(v) for v in self.all_classes],
            "worst": [
                {"image": self._index(index), "name": name, "drop": drop}
                for (index, drop), name in zip_longest(self.worst, self.worst_names[: len(self.worst)])
            ],
            "per_image": [_number(value) for value in self.per_image],
            "early": None
            if self.early is None
            else {"of": self.early.of, "alpha": self.early.alpha, "images": list(self.early.images)},
            "tied": self.tied,
            "boundary": None
            if self.boundary is None
            else {
                "reference": _number(self.boundary[0]),
                "candidate": _number(self.boundary[1]),
                "share_of_diagonal": boundary.SHARE,
            },
            "largest": None if self.largest is None else {"class": self.largest[0], "share": self.largest[1]},
        }


def measure(
    maps: Iterable[Maps],
    *,
    labels: LabelSpace,
    dataset: str,
    tolerance: float | Limits,
    groups: Sequence[str] = (),
    tied: float = 0.0,
) -> ParityReport:
    """Compare two networks' class maps, image by image; only counts are kept in memory.

    Args:
        maps: of each image the truth or None, the reference's and the candidate's class map, of one size. A
            candidate's id that is no class counts as wrong.
        labels: what the ids mean.
        dataset: the data set's name, for the report.
        tolerance: the largest drop that passes, in [0, 1], or limits that say more.
        groups: of each image the group of images that it is like, such as frames of one second of film; empty
            where each is drawn on its own.
        tied: share of the pixels on which the reference's best scores tie.

    Raises:
        UsageError: the tolerance is no share, or limits a class that is not scored.
        DataError: some images have labels and others none.
        ValueError: the maps of an image differ in size, or truth or reference hold an id that is no class.
    """
    limits = tolerance if isinstance(tolerance, Limits) else Limits(tolerance)
    limits.require_classes(labels.classes[i] for i in labels.scored)
    blind = BlindSpots(labels)
    edges = boundary.Boundary(labels)
    tally = count(edges.watch(blind.watch(maps)), labels)
    images, total = len(tally.equal), tally.total()
    (reference,), (candidate,) = total.mious()
    (agreement,) = total.agreements()
    if not tally.labelled:
        reference, candidate = 1.0, agreement
    drop, allowed = float(reference - candidate), limits.allowed(float(reference))
    per_class = findings.per_class(total, labels)
    lost = () if tally.labelled else findings.lost(total, labels)
    over = _over(per_class, limits)
    together = tally.grouped(groups) if groups else tally
    interval = _interval(together)
    verdict = "fails" if lost or over else _decide(drop, interval, allowed)
    seen = total.seen[0], int(total.pixels[0, 0]), labels
    largest = silence.largest(*seen)
    nothing = silence.undecided(*seen) or ties.undecided(tied) or (blind.lost() if verdict != "fails" else "")
    more = None if nothing or verdict != "undecided" else _more(drop, interval, allowed, images)
    return ParityReport(
        metric="miou" if tally.labelled else "agreement",
        dataset=dataset,
        images=images,
        reference=float(reference),
        candidate=float(candidate),
        drop=drop,
        tolerance=allowed,
        agreement=float(agreement),
        per_class=per_class,
        passed=not nothing and (verdict == "holds" or (verdict, limits.undecided) == ("undecided", "pass")),
        interval=interval,
        note=(silence.warning(largest) + findings.note(total, lost) + blind.note()).strip()
        if images
        else "No images: nothing was measured.",
        worst=findings.worst(tally),
        undecided=nothing or _open(interval, allowed, more),
        largest=largest,
        tied=tied,
        boundary=edges.mious(),
        verdict="undecided" if nothing else verdict,
        more_images=more,
        groups=len(together.equal),
        keep=limits.keep,
        class_limits=limits.classes,
        classes_over=over,
        all_classes=findings.over_all_classes(total) if tally.labelled and images else None,
        per_image=tuple(tally.drops().tolist()),
    )


def _interval(tally: Tally) -> tuple[float, float] | None:
    rows = len(tally.equal)
    return None if rows < FEWEST_GROUPS else bootstrap.interval(lambda w: tally.drawn(w).drops(), rows)


def _decide(drop: float, interval: tuple[float, float] | None, allowed: float) -> Verdict:
    low, high = interval or (drop, drop)
    if high <= allowed + ROUNDING:
        return "holds"
    return "fails" if low > allowed + ROUNDING else "undecided"


def _more(drop: float, interval: tuple[float, float] | None, allowed: float, images: int) -> int | None:
    """How many images more would decide: an interval's width falls with the root of their number."""
    if interval is None:
        return None
    width = interval[1] - drop if drop <= allowed else drop - interval[0]
    gap = max(abs(allowed - drop), ROUNDING)
    times = min((width / gap) ** 2, 1.0 + _MOST_MORE)
    return max(1, math.ceil(images * (times - 1)))


def _open(interval: tuple[float, float] | None, allowed: float, more: int | None) -> str:
    """Say that the tolerance lies within the interval, or ''."""
    if interval is None or more is None:
        return ""
    return (
        f"the drop lies between {interval[0]:.4f} and {interval[1]:.4f} (95 %), and {allowed:.4g} is "
        f"allowed: about {more:,} images more would decide"
    )


def _over(per_class: Sequence[tuple[str, float, float]], limits: Limits) -> tuple[str, ...]:
    drops = {name: ours - theirs for name, ours, theirs in per_class}
    return tuple(name for name, limit in limits.classes if drops[name] > limit + ROUNDING)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
