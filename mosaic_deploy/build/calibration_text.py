"""What ``calibrate`` found, in lines for a person."""

from __future__ import annotations

from collections import Counter

from mosaic_deploy.specs.ranges import RangesFile

_SHOWN = 5
_ONE_STEP = 1.0
_MUCH = 1e-3
_RARE = 1e-3
"""Share of the pixels below which a class is called rare."""


def explain(found: RangesFile) -> list[str]:
    """The audit, most telling first."""
    methods = ", ".join(
        f"{name} for {count}"
        for name, count in Counter(t.method for t in found.tensors.values()).most_common()
    )
    lines = [
        f"{len(found.tensors)} tensors of {found.model} on {found.images} images of {found.data}: {methods}",
        _subset(found),
        *_classes(found),
        *_overlap(found),
    ]
    worst = sorted(found.tensors.items(), key=lambda pair: -pair[1].saturated)[:_SHOWN]
    lines += [
        f"saturated: {name}, {t.saturated:.2%} beyond {t.low:.4g} to {t.high:.4g}"
        for name, t in worst
        if t.saturated > _MUCH
    ]
    worst = sorted(found.tensors.items(), key=lambda pair: -pair[1].unstable)[:_SHOWN]
    lines += [
        f"unstable: {name}, either half of the images gives ends {t.unstable:.1f} steps apart"
        for name, t in worst
        if t.unstable > _ONE_STEP
    ]
    return lines


def audited(ranges: RangesFile | None) -> dict[str, object]:
    """The audit as a build's fact, where ranges of a file were used."""
    return {} if ranges is None else {"calibration_audit": explain(ranges)}


def _subset(found: RangesFile) -> str:
    if found.subset < found.images:
        return f"{found.subset} of the images give every range within half a step"
    firm = sum(tensor.subset < found.images for tensor in found.tensors.values())
    return (
        f"no subset gives every range within half a step; {firm} of {len(found.tensors)} tensors need fewer: "
        "more images may change the ranges"
    )


def _classes(found: RangesFile) -> list[str]:
    by_labels = any(each.labels is not None for each in found.classes)
    shares = {each.name: (each.labels or 0.0) if by_labels else each.predicted for each in found.classes}
    absent = [name for name, share in shares.items() if not share]
    rare = [name for name, share in shares.items() if 0 < share < _RARE]
    source = "labels" if by_labels else "classes that the float network predicts"
    lines = [f"classes absent by the {source}: {', '.join(absent)}"] if absent else []
    lines += [f"classes on less than 0.1 % of the pixels by the {source}: {', '.join(rare)}"] if rare else []
    return lines or [f"all {len(shares)} classes are there, by the {source}"]


def _overlap(found: RangesFile) -> list[str]:
    if not found.overlap:
        return ["no image looks like one of the validation set"]
    shown = ", ".join(f"{a} and {b}" for a, b in found.overlap[:_SHOWN])
    return [f"{len(found.overlap)} pairs of calibration and validation images look the same: {shown}"]
