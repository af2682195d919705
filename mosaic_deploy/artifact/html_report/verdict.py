"""The verdict as the page puts it: one word, one sentence, and the interval that is behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mosaic_deploy.accuracy.parity import ParityReport
from mosaic_deploy.artifact.html_report.charts import Bar, Scale, Tick
from mosaic_deploy.artifact.html_report.figures import magnitude, percent, plural, points, size
from mosaic_deploy.artifact.html_report.record import Record
from mosaic_deploy.artifact.store import shipped_bytes

State = Literal["passed", "failed", "undecided"]
_BLOCKING = ("unsupported", "silent-wrong")
_LEAST_LOSS = 0.005
_LOSERS = 3


@dataclass(frozen=True, slots=True)
class Interval:
    """The drop on an axis, beside what is allowed; places in per cent of the width, losses to the left."""

    point: float
    range: Bar | None
    allowed: Bar
    limit: float
    zero: float
    ticks: tuple[Tick, ...]
    words: str
    """The same for who cannot see it."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that stands under the verdict."""

    name: str
    value: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class VerdictView:
    """What stands first."""

    model: str
    target: str
    recipe: str
    output: str
    state: State
    word: str
    sentence: str
    interval: Interval | None
    figures: tuple[Figure, ...]
    lines: tuple[str, ...]
    lost: tuple[tuple[str, str, str], ...]
    """Class, IoU before and after, of those that lost most in a build that failed."""


def verdict(record: Record) -> VerdictView:
    """Put an artifact's verdict into words."""
    manifest, build = record.manifest, record.build
    shown = _compared(record)
    state = _state(record)
    return VerdictView(
        model=manifest.model,
        target=manifest.target.name,
        recipe=manifest.recipe.name,
        output=build.output,
        state=state,
        word=_word(record, state),
        sentence=_sentence(record, state, shown),
        interval=None if shown is None else interval(shown),
        figures=_figures(record, shown),
        lines=build.summary.lines if build.summary else (),
        lost=() if state == "passed" or shown is None else _lost(shown),
    )


def _state(record: Record) -> State:
    said = record.build.summary.verdict if record.build.summary else ""
    if record.manifest.passed and said != "undecided":  # which a build may be told to let pass
        return "passed"
    if said == "undecided":
        return "undecided"
    return "undecided" if record.manifest.undecided else "failed"


def _word(record: Record, state: State) -> str:
    said = record.build.summary.verdict if record.build.summary else state
    return "Operators refused" if said == "ops refused" else said.capitalize()


def _compared(record: Record) -> ParityReport | None:
    """What the verdict rests on: the worst variant, or the conversion where nothing was compiled."""
    if record.decisive is not None:
        return record.decisive[1]
    return record.build.conversion.parity if record.build.conversion else None


def _sentence(record: Record, state: State, shown: ParityReport | None) -> str:
    check = record.build.check
    refused = sum(v.level in _BLOCKING for v in check.violations) if check else 0
    if check is not None and refused:
        return (
            f"{record.manifest.target.name} does not take {plural(refused, 'operator')} of {check.nodes:,}. "
            "Nothing was compiled."
        )
    if shown is None:
        return "Nothing was compared."
    if state == "undecided":
        reason = (record.manifest.undecided or shown.undecided).removeprefix("says nothing, ")
        let_go = " It was let pass, as asked." if record.manifest.passed else ""
        return f"The comparison decides nothing: {reason}.{let_go}"
    where = f"on {plural(shown.images, 'image')} of {shown.dataset}"
    if shown.early is not None:
        where = f"on {shown.images} of {plural(shown.early.of, 'image')} of {shown.dataset}, drawn at random"
    if record.decisive is None:
        return (
            f"The float conversion changed the network: {percent(1 - shown.agreement)} of the pixels differ "
            f"{where}. Nothing was quantised or compiled."
        )
    if shown.metric == "agreement":
        return (
            f"{percent(shown.drop)} of the pixels change their class {where}; "
            f"up to {percent(shown.tolerance)} may. Without labels nothing tells whether they became wrong."
        )
    if state == "failed" and shown.classes_over:
        return f"IoU fell {where}: {_beyond(shown)}."
    way = "fell" if shown.drop > 0 else "rose"
    change = f"mIoU {way} by {magnitude(shown.drop)} points {where}"
    if float(magnitude(shown.drop) if shown.drop == shown.drop else 0) == 0:
        change = f"mIoU stayed the same {where}"
    return f"{change}; up to {magnitude(shown.tolerance)} is allowed."


def _beyond(parity: ParityReport) -> str:
    """Each class that lost more than its own limit, and both figures in points."""
    limits = dict(parity.class_limits)
    drops = {name: ours - theirs for name, ours, theirs in parity.per_class}
    return ", ".join(
        f"{name} by {magnitude(drops[name])} points, where {magnitude(limits[name])} may be lost"
        for name in parity.classes_over
    )


def interval(parity: ParityReport) -> Interval | None:
    """The chart of a drop; None where there is none."""
    if parity.drop != parity.drop:
        return None
    ends = tuple(-end for end in parity.interval or ())
    scale = Scale.over((-parity.drop, -parity.tolerance, *ends))
    what = "mIoU" if parity.metric == "miou" else "agreement"
    words = f"Change of {what}: {points(-parity.drop)} points; at least {points(-parity.tolerance)} is asked"
    if len(ends) > 1:
        words += f"; 95 % interval {points(min(ends))} to {points(max(ends))}"
    return Interval(
        point=scale.at(-parity.drop),
        range=Bar.between(scale, *ends) if len(ends) > 1 else None,
        allowed=Bar.between(scale, -parity.tolerance, scale.high),
        limit=scale.at(-parity.tolerance),
        zero=scale.at(0.0),
        ticks=scale.ticks(),
        words=words,
    )


def _figures(record: Record, shown: ParityReport | None) -> tuple[Figure, ...]:
    found = []
    if shown is not None and shown.metric == "miou":
        found.append(Figure("mIoU, float", percent(shown.reference), "ONNX Runtime"))
        found.append(Figure("mIoU, target", percent(shown.candidate), f"{points(-shown.drop)} points"))
    if shown is not None:
        found.append(Figure("Same class", percent(shown.agreement), "of the pixels"))
    if shown is not None and shown.boundary is not None and shown.boundary[0] == shown.boundary[0]:
        ours, theirs = shown.boundary
        change = f"{points(theirs - ours)} points, mean along borders"
        found.append(Figure("Boundary IoU", percent(theirs), change))
    if shown is not None and shown.interval is not None:
        low, high = sorted(-end for end in shown.interval)
        over = "images" if shown.early is None else f"all {shown.early.of} images"
        if shown.early is None and 0 < shown.groups < shown.images:
            over = f"{shown.groups} groups of like images"
        found.append(Figure("95 % interval", f"{points(low)} … {points(high)}", f"points, over {over}"))
    if record.decisive is not None and any(entry.ships for entry in record.manifest.files):
        found.append(Figure("Size", size(shipped_bytes(record.manifest.files)), "on the device"))
    return tuple(found)


def _lost(parity: ParityReport) -> tuple[tuple[str, str, str], ...]:
    losses = [(ours - theirs, name, ours, theirs) for name, ours, theirs in parity.per_class]
    worst = sorted((loss for loss in losses if loss[0] > _LEAST_LOSS), key=lambda loss: -loss[0])[:_LOSERS]
    return tuple((name, percent(ours, 1), percent(theirs, 1)) for _, name, ours, theirs in worst)
