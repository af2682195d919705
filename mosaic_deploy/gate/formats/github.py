"""Workflow commands of GitHub Actions: annotations of a pull request, the worst first.

GitHub shows ten errors, ten warnings and ten notices of a step and drops the rest, so that violations that
differ in nothing but the node share an annotation; the rest is in the log.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from mosaic_deploy.gate.formats.words import (
    NO_TABLE,
    Severity,
    asked,
    heard,
    notes,
    printable,
    sentence,
    severity,
    standing,
    summary,
)
from mosaic_deploy.gate.report import GateReport, ModelResult
from mosaic_deploy.gate.repository import Repository
from mosaic_deploy.gate.verdict import Item, TargetVerdict

_ORDER: tuple[Severity, ...] = ("error", "warning", "note")
_WORDS = {"error": "error", "warning": "warning", "note": "notice"}
_NAMED = 20  # nodes in one annotation


def render(report: GateReport, repository: Repository) -> str:
    """Render one command per line, then the verdicts as plain lines of the log."""
    found = [*_failures(report), *_waivers(report)]
    for judged, verdict in report.verdicts():
        found += _verdict(judged, verdict, repository)
    found += [found for judged in report.models for found in _heard(judged)]
    found.sort(key=lambda pair: _ORDER.index(pair[0]))
    log = [
        f"{judged.model} on {verdict.target}: {line}"
        for judged, verdict in report.verdicts()
        for line in (summary(verdict), *asked(verdict))
    ]
    return "\n".join([*(line for _, line in found), *(f"mosaic-deploy: {_harmless(line)}" for line in log)])


def _harmless(text: str) -> str:
    """Text in one line that holds no command: names come from strangers, and the runner looks for ``##[``."""
    return printable(text).replace("##[", "## [")


def _command(level: Severity, properties: dict[str, str], message: str) -> tuple[Severity, str]:
    stated = ",".join(f"{name}={_property(_harmless(value))}" for name, value in properties.items())
    return level, f"::{_WORDS[level]} {stated}::{_data(_harmless(message))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _failures(report: GateReport) -> Iterator[tuple[Severity, str]]:
    for judged in report.models:
        if judged.error:
            yield _command("error", {"file": judged.model, "title": "unusable model"}, judged.error)


def _waivers(report: GateReport) -> Iterator[tuple[Severity, str]]:
    for count, note in enumerate(notes(report)):
        level: Severity = "error" if count < len(report.expired) else "note"
        yield _command(level, {"file": report.config, "title": "waiver"}, note)


def _verdict(
    judged: ModelResult, verdict: TargetVerdict, repository: Repository
) -> Iterator[tuple[Severity, str]]:
    if not verdict.table:
        yield _command(
            "error", {"file": judged.model, "title": f"no op table for {verdict.target}"}, NO_TABLE
        )
    if verdict.too_much_fallback:
        title = f"too much falls back on {verdict.target}"
        yield _command("error", {"file": judged.model, "title": title}, summary(verdict))
    alike: dict[tuple[str, ...], list[Item]] = defaultdict(list)
    for item in verdict.items:
        found = item.violation
        alike[found.op, found.source, sentence(item), standing(item), _level(item)].append(item)
    for same in alike.values():
        found = same[0].violation
        line = repository.line(found.source)
        place = {"file": line.path, "line": str(line.number)} if line else {"file": judged.model}
        title = f"{found.level} on {verdict.target}: {found.op}"
        yield _command(_level(same[0]), {**place, "title": title}, _message(judged, same))


def _heard(judged: ModelResult) -> Iterator[tuple[Severity, str]]:
    for verified in judged.verified:
        level: Severity = "note" if verified.said == "compiles" else "error"
        title = f"compiler of {verified.target}"
        yield _command(level, {"file": judged.model, "title": title}, "; ".join(heard(verified)))


def _level(item: Item) -> Severity:
    """An error stops the gate; what is waived or known is no more than said."""
    level = severity(item)
    return "note" if item.waiver is not None or (item.known and level == "error") else level


def _message(judged: ModelResult, same: list[Item]) -> str:
    names = ", ".join(item.violation.node for item in same[:_NAMED])
    more = f" and {len(same) - _NAMED} more" if len(same) > _NAMED else ""
    state = standing(same[0])
    return f"{judged.model}: {names}{more}: {sentence(same[0])}" + (f" [{state}]" if state else "")
