"""Sentences that several formats share."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from mosaic_deploy.gate.report import Fixed, GateReport, Verified
from mosaic_deploy.gate.verdict import Item, TargetVerdict

Severity = Literal["error", "warning", "note"]

_NAMED = 4

NO_TABLE = "the target has no op table, so nothing was checked: build the model to find out"


def severity(item: Item) -> Severity:
    """How loud a violation is: an error stops the gate, were it not waived or known."""
    if (item.refused and not item.cured) or (item.undecided and item.unknown_fails):
        return "error"
    return "warning" if item.refused or item.falls_back or item.undecided else "note"


def advice(item: Item) -> str:
    """What to do about a violation: nothing where the build does it."""
    return "nothing to do: the build rewrites it" if item.cured else item.violation.fix


def sentence(item: Item) -> str:
    """What was found, what is allowed, what it costs, what to do; without node, operator and place."""
    found = item.violation
    parts = [
        found.found,
        f"allowed: {found.allowed}" if found.allowed else "",
        f"{percent(found.macs_share)} of the MACs" if found.macs_share else "",
        f"tool output: {found.error}" if found.error else "",
        advice(item),
        f"reproducer: {item.reproducer}" if item.reproducer else "",
    ]
    return "; ".join(part for part in parts if part)


def standing(item: Item) -> str:
    """Why a violation does not fail, or what failed it in spite of a waiver; else nothing."""
    parts = []
    if not item.deployed:
        parts.append("only before quantisation")
    if item.waiver is not None:
        parts.append(f"waived until {item.waiver.expires}: {item.waiver.reason}")
    elif item.expired is not None:
        parts.append(f"its waiver expired on {item.expired.expires}")
    if item.known:
        parts.append("also in the baseline")
    if item.cure is not None:
        named = " and ".join(item.cure.passes) or "a pass"
        parts.append(
            f"the build rewrites it: {named}"
            if item.cure.exact
            else f"build --fix lossy rewrites it: {named}"
        )
    if item.basis == "asked":
        parts.append("the compiler was asked")
    return "; ".join(parts)


def summary(verdict: TargetVerdict) -> str:
    """The verdict with its counts."""
    if not verdict.table:
        return f"no table: {NO_TABLE}"
    open_ = [item for item in verdict.items if item.deployed and not item.cured]
    parts = [nodes(verdict.nodes)]
    for level, words in (
        ("silent-wrong", "silently wrong"),
        ("unsupported", "unsupported"),
        ("fallback", "in other kernels"),
        ("unknown", "unknown"),
    ):
        if count := sum(item.violation.level == level for item in open_):
            parts.append(f"{count} {words}")
    if count := sum(item.refused and item.cured for item in verdict.items):
        parts.append(f"{count} rewritten by the build")
    for words, count in (
        ("waived", sum(item.waiver is not None for item in verdict.items)),
        ("in the baseline", sum(item.known for item in verdict.items)),
    ):
        if count:
            parts.append(f"{count} {words}")
    if verdict.fallback_macs_share:
        parts.append(f"{percent(verdict.fallback_macs_share)} of the MACs fall back")
    if verdict.too_much_fallback:
        parts.append(f"{percent(verdict.max_fallback_macs or 0.0)} allowed")
    return f"{verdict.kind}{_gate(verdict)}: {', '.join(parts)}"


def _gate(verdict: TargetVerdict) -> str:
    """The gate's answer, where the verdict alone does not tell."""
    return " (passes)" if verdict.passed and not verdict.kind.startswith("supported") else ""


def compiled(verdict: TargetVerdict) -> str:
    """What the verdict is about: recipe and compiler."""
    return f"{verdict.recipe}, {verdict.tool}" if verdict.table else verdict.recipe


def notes(report: GateReport) -> list[str]:
    """Lines about waivers as such."""
    return [
        *(f"expired on {w.expires}: {w}: renew or remove it" for w in report.expired),
        *(f"unused: {w}" for w in report.idle),
    ]


def fixes(fixed: Fixed) -> list[str]:
    """One line per pass that was applied for a target, and per one that was withdrawn."""
    if not fixed.report.steps and not fixed.report.withdrawn:
        return [f"fixed for {fixed.target}: nothing to do"]
    lines = []
    for step in fixed.report.steps:
        kind = "exact" if step.exact else "lossy"
        error = f", outputs differ by {step.output_error:.1g} of their range" if step.output_error else ""
        named = ", ".join(step.nodes[:_NAMED]) + (" ..." if len(step.nodes) > _NAMED else "")
        lines.append(f"fixed for {fixed.target}: {step.name} ({kind}{error}): {nodes(step.changes)}: {named}")
    return [*lines, *(f"withdrawn for {fixed.target}: {reason}" for reason in fixed.report.withdrawn)]


def asked(verdict: TargetVerdict) -> list[str]:
    """What the compiler was asked, and what it cleared; nothing where nobody wanted to know."""
    inquiry = verdict.inquiry
    if inquiry is None:
        return []
    if not inquiry.tool:
        return [inquiry.note]
    parts = [f"{inquiry.tried} parts compiled", f"{inquiry.recalled} recalled", f"{inquiry.seconds:.0f} s"]
    lines = [f"asked {inquiry.tool}: {', '.join(parts)}" + (f"; {inquiry.note}" if inquiry.note else "")]
    counts: Counter[tuple[str, str, tuple[str, ...]]] = Counter()
    for one in inquiry.cleared:
        counts[one.level, one.op, one.part] += len(one.nodes)
    for (level, op, part), count in counts.items():
        company = "alone" if len(part) == 1 else f"in {' + '.join(part)}"
        lines.append(f"cleared, was {level}: {op} {company}: {nodes(count)}")
    return lines


def heard(verified: Verified) -> list[str]:
    """What a compiler said, and the smallest part that it refuses."""
    if verified.said == "no compiler":
        return [f"not verified for {verified.target}: {verified.note} cannot be run here"]
    note = f": {verified.note}" if verified.note else ""
    lines = [f"{verified.target}: {verified.tool}: {verified.said}{note}"]
    for culprit in verified.culprits:
        named = ", ".join(culprit.nodes[:_NAMED]) + (" ..." if len(culprit.nodes) > _NAMED else "")
        lines.append(f"  reproducer: {named} ({', '.join(culprit.ops)}): {culprit.error}: {culprit.file}")
    if verified.said in ("refused", "differs") and not verified.culprits:
        lines.append("  no smaller part fails on its own")
    return lines


def nodes(count: int) -> str:
    """A number of nodes."""
    return f"{count} node" if count == 1 else f"{count} nodes"


def percent(share: float) -> str:
    """A share in percent, with one digit behind the point, and more only where that would be 0."""
    return f"{100 * share:.1f} %" if share >= 0.0005 or share == 0 else "under 0.1 %"


def printable(text: str) -> str:
    """Text with control characters written out: it may end up on a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
