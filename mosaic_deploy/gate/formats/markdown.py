"""A table for a pull request's comment or a job's summary."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

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
from mosaic_deploy.gate.report import GateReport, ModelResult
from mosaic_deploy.gate.repository import Repository
from mosaic_deploy.gate.verdict import Item

_ROWS = 200  # a comment has 65,536 characters
_NAMED = 8
_SPECIAL = str.maketrans(
    {
        "&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "@": "&#64;", "`": "&#96;", "[": "&#91;",
        "]": "&#93;", "*": "&#42;", "_": "&#95;", "~": "&#126;", "#": "&#35;", "\\": "&#92;", "!": "&#33;",
    }
)  # fmt: skip


def render(report: GateReport, repository: Repository) -> str:  # noqa: ARG001  # every format's signature
    """Render a table of verdicts, then one of violations."""
    gate = "passed" if report.passed else "failed"
    lines = [f"### mosaic-deploy check {gate}", "", "| model | target | verdict |", "|---|---|---|"]
    for judged in report.models:
        if judged.error:
            lines.append(f"| {_cell(judged.model)} | | cannot be used: {_cell(judged.error)} |")
        for verdict in judged.verdicts:
            mark = "yes" if verdict.passed else "no"
            about = f"{_cell(verdict.target)} ({_cell(compiled(verdict))})"
            lines.append(f"| {_cell(judged.model)} | {about} | **{mark}**: {_cell(summary(verdict))} |")
    lines += [
        f"\n- {_cell(judged.model)}: {_cell(said)}" for judged in report.models for said in _said(judged)
    ]
    rows = list(_rows(report))
    if rows:
        lines += [
            "",
            "| level | target | operator | nodes | found | allowed | what to do |",
            "|" + "---|" * 7,
        ]
        lines += rows[:_ROWS]
        if len(rows) > _ROWS:
            lines += ["", f"{len(rows) - _ROWS} more rows are left out."]
    lines += [f"\n- waiver {_cell(note)}" for note in notes(report)]
    return "\n".join(lines)


def _said(judged: ModelResult) -> Iterator[str]:
    for fixed in judged.fixed:
        yield from fixes(fixed)
    for verdict in judged.verdicts:
        if lines := asked(verdict):
            yield f"{verdict.target}: {'; '.join(lines)}"
    for verified in judged.verified:
        yield "; ".join(heard(verified))


def _rows(report: GateReport) -> Iterator[str]:
    for judged, verdict in report.verdicts():
        alike: dict[tuple[str, ...], list[Item]] = defaultdict(list)
        for item in verdict.items:
            found = item.violation
            alike[found.level, found.op, found.found, found.allowed, found.fix, standing(item)].append(item)
        for same in alike.values():
            found, state = same[0].violation, standing(same[0])
            level = f"{found.level} ({state})" if state else found.level
            cells = (
                level,
                verdict.target,
                found.op,
                _nodes(judged.model, same),
                found.found,
                found.allowed,
                advice(same[0]),
            )
            yield f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _nodes(model: str, same: list[Item]) -> str:
    names = ", ".join(item.violation.node for item in same[:_NAMED])
    more = f" and {len(same) - _NAMED} more" if len(same) > _NAMED else ""
    source = next((f"; {item.violation.source}" for item in same if item.violation.source), "")
    cost = sum(item.violation.macs_share for item in same)
    return f"{model}: {names}{more}{source}" + (f"; {percent(cost)} of the MACs" if cost else "")


def _cell(text: str) -> str:
    """Text that means nothing to Markdown or HTML and calls nobody; names come from strangers' files."""
    return printable(text).translate(_SPECIAL)
