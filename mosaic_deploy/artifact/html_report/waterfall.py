"""Where the accuracy went: the network after each stage of the build, as steps down from the float one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mosaic_deploy.accuracy.parity import ParityReport
from mosaic_deploy.artifact.html_report.charts import Bar, Scale
from mosaic_deploy.artifact.html_report.figures import percent, plural, points
from mosaic_deploy.artifact.html_report.record import Record, StageRecord

_TITLES = {
    "export": "PyTorch to ONNX",
    "output": "Output kind",
    "fixes": "Rewritten operators",
    "conversion": "Runtime's own format, float",
    "quantised": "Quantised, on ONNX Runtime",
    "target": "Target's runtime",
}
_EXPORT = "export"
_LEAST = 0.0005
"""Loss of a class or an image, in [0, 1], that is worth its name."""


@dataclass(frozen=True, slots=True)
class Step:
    """A row: from the network before to the network after."""

    name: str
    bar: Bar
    change: str
    gain: bool
    score: str
    """Mean IoU after the step; empty without labels, and of a step on other images than the rest."""
    agreement: str
    worst_class: str
    worst_image: str
    """Its file's name, or where that is unknown its number among all, from 1, and its change."""


@dataclass(frozen=True, slots=True)
class Waterfall:
    """The steps, and what is not drawn."""

    metric: str
    start: str
    """Mean IoU of the float ONNX; empty without labels."""
    images: int
    limit: float
    zero: float
    steps: tuple[Step, ...]
    missing: tuple[tuple[str, str], ...]
    """Stages without figures, and why."""


def waterfall(record: Record) -> Waterfall | None:
    """From the float ONNX to the compiled network; None where nothing was compiled, or nothing compared."""
    stages = record.build.stages
    measured = [(stage, stage.parity) for stage in stages if stage.parity is not None]
    if not measured or any(parity.drop != parity.drop for _, parity in measured):
        return None
    spans = _spans(measured)
    first = measured[-1][1]
    ends = [-value for *_, start, end in spans for value in (start, end)]
    scale = Scale.over((*ends, -first.tolerance))
    labelled = first.metric == "miou"
    steps = tuple(_step(scale, stage, parity, start, end) for stage, parity, start, end in spans)
    return Waterfall(
        metric="mIoU" if labelled else "agreement",
        start=percent(first.reference) if labelled else "",
        images=first.images,
        limit=scale.at(-first.tolerance),
        zero=scale.at(0.0),
        steps=steps,
        missing=tuple((_TITLES.get(s.name, s.name), s.why) for s in stages if s.parity is None and s.why),
    )


def _spans(
    measured: Sequence[tuple[StageRecord, ParityReport]],
) -> list[tuple[StageRecord, ParityReport, float, float]]:
    """Each stage with the drop before and after it; every variant starts where what they share ends.

    Without labels each starts at 0: shares of changed pixels do not add up.
    """
    begun, spans = 0.0, []
    for stage, parity in measured:
        if stage.name == _EXPORT:  # what it is measured against is what all others start from
            ends = (-parity.drop, 0.0) if parity.metric == "miou" else (0.0, parity.drop)
            spans.append((stage, parity, *ends))
            continue
        adds_up = parity.metric == "miou"
        spans.append((stage, parity, begun if adds_up else 0.0, parity.drop))
        if stage.name != "target":
            begun = parity.drop
    return spans


def _step(scale: Scale, stage: StageRecord, parity: ParityReport, start: float, end: float) -> Step:
    losses = [(ours - theirs, name) for name, ours, theirs in parity.per_class if ours == ours]
    lost, name = max(losses, default=(0.0, ""))
    image, fell = parity.worst[0] if parity.worst else (0, 0.0)
    number = image if parity.early is None else parity.early.images[image]
    called = parity.worst_names[0] if parity.worst_names else f"no.\u00a0{number + 1}"
    title = _TITLES.get(stage.name, stage.name)
    own = stage.name == _EXPORT
    if own:
        title = f"{title}, on {plural(parity.images, 'image')}"
    return Step(
        name=title if stage.variant in ("", "main") else f"{title}, {stage.variant}",
        bar=Bar.between(scale, -start, -end),
        change=points(start - end),
        gain=end < start,
        score=percent(parity.candidate) if parity.metric == "miou" and not own else "",
        agreement=percent(parity.agreement),
        worst_class=f"{name}, {points(-lost)}" if lost > _LEAST else "",
        worst_image=f"{called}, {points(-fell)}" if fell > _LEAST else "",
    )
