"""For people at a terminal: one line per target, then what stands in the way, the worst first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from mosaic_deploy.gate.formats.words import (
    advice,
    asked,
    compiled,
    fixes,
    heard,
    notes,
    percent,
    printable,
    standing,
    summary,
)
from mosaic_deploy.gate.op_support.judge import Level
from mosaic_deploy.gate.report import GateReport
from mosaic_deploy.gate.repository import Repository
from mosaic_deploy.gate.verdict import Item

_SHOWN = 6  # nodes named of one kind of violation; --format json has all
_ORDER: tuple[Level, ...] = ("silent-wrong", "unsupported", "fallback", "unknown")


def render(report: GateReport, repository: Repository) -> str:  # noqa: ARG001  # every format's signature
    """Render for a terminal; models that cannot be used are left to standard error."""
    lines: list[str] = []
    for judged in report.models:
        if judged.error:
            continue
        lines.append(f"{judged.model}{' (untrained weights)' if judged.untrained else ''}")
        lines += [f"  {line}" for fixed in judged.fixed for line in fixes(fixed)]
        for verdict in judged.verdicts:
            lines.append(f"  {verdict.target} ({compiled(verdict)}): {summary(verdict)}")
            lines += [f"    {line}" for line in asked(verdict)]
            lines += _violations(verdict.items)
        lines += [f"  {line}" for verified in judged.verified for line in heard(verified)]
    lines += [f"waiver {note}" for note in notes(report)]
    return "\n".join(printable(line) for line in lines)


def _violations(items: Sequence[Item]) -> Iterator[str]:
    """Violations that differ in nothing but the node share their lines."""
    alike: dict[tuple[str, ...], list[Item]] = defaultdict(list)
    for item in items:
        found = item.violation
        alike[found.level, found.op, found.found, found.allowed, found.fix, standing(item)].append(item)
    for same in sorted(alike.values(), key=lambda same: _rank(same[0])):
        found, state = same[0].violation, standing(same[0])
        cost = sum(item.violation.macs_share for item in same)
        yield f"    {found.level}: {found.op}: {found.found}" + (f" [{state}]" if state else "")
        yield f"      nodes    {_nodes(same)}" + (f"; {percent(cost)} of the MACs" if cost else "")
        if found.allowed:
            yield f"      allowed  {found.allowed}"
        if found.error:
            yield f"      error    {found.error}"
        yield f"      fix      {advice(same[0])}"
        if files := sorted({item.reproducer for item in same if item.reproducer}):
            yield f"      part     {', '.join(files[:_SHOWN])}"


def _rank(item: Item) -> tuple[bool, bool, int]:
    return not item.fails, not item.deployed, _ORDER.index(item.violation.level)


def _nodes(items: Sequence[Item]) -> str:
    shown = [
        f"{item.violation.node} ({item.violation.source})" if item.violation.source else item.violation.node
        for item in items[:_SHOWN]
    ]
    more = len(items) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
