"""What a build's gates found, in words: causes and ways out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mosaic_deploy.accuracy.findings import LOST_BELOW_IOU
from mosaic_deploy.accuracy.parity import ROUNDING, ParityReport
from mosaic_deploy.gate.fix_report import FixStep


def decided_by(parity: ParityReport | None) -> str:
    """Say what would turn "undecided" into a verdict."""
    if parity is not None and parity.more_images is not None:
        return "take more of them (--images), or say --undecided pass"
    return "choose other images or labels, or look whether mean, scale and colour fit"


def why_failed(parity: ParityReport) -> str:
    """Say what went beyond its limit."""
    if parity.classes_over:
        drops = {name: ours - theirs for name, ours, theirs in parity.per_class}
        limits = dict(parity.class_limits)
        named = ", ".join(f"{c} by {drops[c]:.4f} ({limits[c]:g} is allowed)" for c in parity.classes_over)
        return f"IoU dropped of {named}"
    if parity.drop > parity.tolerance + ROUNDING:
        return f"{parity.metric} dropped by {parity.drop:.4f}, {parity.tolerance:g} is allowed"
    gone = [f"{name} (IoU {theirs:.2f})" for name, _, theirs in parity.per_class if theirs < LOST_BELOW_IOU]
    return f"lost against the float network, which asks for an IoU of {LOST_BELOW_IOU}: {', '.join(gone)};"


def way_out(parity: ParityReport) -> str:
    """What to do about a drop; nothing where only the network itself can help."""
    if parity.metric != "agreement":
        return "; see per_class in parity.json, try --recipe auto where the target takes it, or --tolerance"
    return (
        " without labels, as nothing tells whether the pixels that changed became wrong: bring labels "
        "(--data NAME:DIR with labels/), try --recipe auto where the target takes it, or say --tolerance"
    )


def fixed(step: FixStep) -> str:
    """Say what a pass did."""
    error = "" if step.output_error is None else f", {step.output_error:.2g} of the range at the output"
    kind = "exact" if step.exact else "lossy"
    return f"fixed by {step.name} ({kind}{error}): {step.changes} node{'s' * (step.changes != 1)}"


def given_ranges(ranges: object) -> list[str]:
    """How many tensors got their range from a file, and which method trials told."""
    if not isinstance(ranges, Mapping):
        return []
    lines = []
    if ranges.get("given"):
        lines.append(f"ranges: those of {ranges['given']} of {ranges['tensors']} tensors are the file's")
    if ranges.get("tried"):
        gave = ", ".join(f"{name} {each['flips']:.2%}" for name, each in ranges["tried"].items())
        lines.append(f"ranges: by {ranges['method']}; pixels with another class on images held out: {gave}")
    return lines


def tried(search: object) -> list[str]:
    """What recipe ``auto`` tried, a line each, and what it took."""
    if not isinstance(search, Mapping):
        return []
    return [
        f"auto: {_lifted(attempt, str(search['lifts_to']))}: {_came_to(attempt, str(search['cost_unit']))}"
        + (" <- taken" if index == search["chosen"] else "")
        for index, attempt in enumerate(search["attempts"])
    ]


def searched(search: object) -> list[str]:
    """What recipe ``auto`` tried and took, and what it must say of that."""
    if not isinstance(search, Mapping):
        return []
    lines = [*tried(search), *_biases(search.get("biases"))]
    if not search["reached"]:
        lines.append(
            f"auto: nothing reached an agreement of {search['goal']:.2%} on the {search['held_out']} "
            "calibration images that were held out; the closest was taken"
        )
    return lines


def _lifted(attempt: Mapping[str, Any], lifts_to: str) -> str:
    corrected = ", corrected biases" if attempt.get("corrected") else ""
    if not attempt["tensors"]:
        return f"8 bits throughout, ranges by {attempt['method']}{corrected}"
    count = attempt["conversions"]
    conversions = f"{count} conversion{'s' * (count != 1)}"
    return f"{attempt['lifted']:.0%} of the activations in {lifts_to}, {conversions}{corrected}"


def _biases(told: Mapping[str, Any] | None) -> list[str]:
    """Whether corrected biases were kept, and what was predicted of them."""
    if told is None:
        return []
    lines = [] if told["tried"] else [f"auto: bias correction: not tried, {told['why']}"]
    for tried in told["tried"]:
        after = f" after equalising {tried['pairs']} pairs" if tried["pairs"] else ""
        own, other = (
            f"{tried[key][0]:.2%} -> {tried[key][1]:.2%}" for key in ("changed", "changed_elsewhere")
        )
        kept = f"not kept, {tried['why']}" if tried["why"] else "kept"
        lines.append(
            f"auto: bias correction of {tried['layers']} layers{after}: {kept}; predicted pixels with "
            f"another class: {own} on images held out, {other} on {told['elsewhere']}"
        )
    return lines


def _came_to(attempt: Mapping[str, Any], unit: str) -> str:
    if attempt["error"]:
        return f"not compiled: {attempt['error']}"
    cost = attempt["cost"]
    if cost is None:
        cost = "cost unknown"
    else:
        cost = f"{cost * 1e3:.1f} ms" if unit == "seconds" else f"{cost / 1e6:.1f} million {unit}"
    return f"agreement {attempt['agreement']:.2%}, {cost}, {attempt['size'] / 1e6:.2f} MB"


def kept_grids(grids: object) -> list[str]:
    """Say which weights came quantised."""
    if not isinstance(grids, Mapping):
        return []
    lines = []
    if grids.get("kept"):
        kernels = f"{grids['kept']} of {grids['kernels']} kernels"
        line = f"weights: {kernels} came on an 8-bit grid and stay on it"
        rounded = grids.get("rounded")
        lines.append(
            f"{line}, but for {rounded} channels that the target's integers cannot hold" if rounded else line
        )
    if grids.get("ranges"):
        lines.append(f"activations: {grids['ranges_kept']} of {grids['ranges']} stated ranges are kept")
    return lines


def fell_back(fallback: object) -> list[str]:
    """Say what ran in other kernels of the same processor."""
    if not isinstance(fallback, Mapping) or not fallback.get("operators"):
        return []
    operators = ", ".join(f"{count} {name}" for name, count in fallback["operators"].items())
    named = (("macs_share", "of the multiply-accumulates"), ("time_share", "of the time"))
    shares = [f"{fallback[key]:.1%} {words}" for key, words in named if fallback.get(key) is not None]
    return [f"fallback on the same processor: {operators}" + "".join(f", {share}" for share in shares)]
