"""JUnit XML, which every CI shows: a suite per model and target, a case per violation and clean operator."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree

from mosaic_deploy.gate.formats.words import NO_TABLE, asked, heard, nodes, notes, sentence, standing, summary
from mosaic_deploy.gate.report import GateReport, ModelResult, Verified
from mosaic_deploy.gate.repository import Repository
from mosaic_deploy.gate.verdict import Item, TargetVerdict

# What XML 1.0 has no way to write, not even as a reference.
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
_COUNTS = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}


def render(report: GateReport, repository: Repository) -> str:  # noqa: ARG001  # every format's signature
    """Render one document; a suite says no with failures, and with errors where there is no verdict."""
    root = _element("testsuites", "mosaic-deploy check", _suites(report))
    ElementTree.indent(root, "")
    # By hand, as ElementTree's own is in single quotes and of the locale's encoding.
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}'


def _suites(report: GateReport) -> Iterator[ElementTree.Element]:
    for judged, verdict in report.verdicts():
        yield _suite(judged, verdict)
    for judged in report.models:
        if judged.error:
            case = _case(judged.model, "read", "error", "cannot be used", judged.error)
            yield _element("testsuite", judged.model, [case])
    for judged in report.models:
        if judged.verified:
            cases = [_heard(judged, one) for one in judged.verified]
            yield _element("testsuite", f"{judged.model} compiled", cases)
    if report.expired or report.idle:
        yield _element("testsuite", "waivers", _waivers(report))


def _waivers(report: GateReport) -> Iterator[ElementTree.Element]:
    for index, note in enumerate(notes(report)):
        if index < len(report.expired):
            yield _case("waivers", note, "failure", "expired")
        else:
            yield _case("waivers", note, "skipped", "unused")


def _suite(judged: ModelResult, verdict: TargetVerdict) -> ElementTree.Element:
    place = f"{judged.model} on {verdict.target}"
    if not verdict.table:
        return _element("testsuite", place, [_case(place, "verdict", "error", "no table", NO_TABLE)])
    found = {item.violation.op for item in verdict.items}
    cases = [_case(place, f"{op} ({nodes(n)})") for op, n in verdict.operators if op not in found]
    cases += [_violation(place, item) for item in verdict.items]
    if verdict.max_fallback_macs is not None:
        no = ("failure", summary(verdict)) if verdict.too_much_fallback else ()
        cases.append(_case(place, "share of MACs that fall back", *no))
    suite = _element("testsuite", place, cases)
    if lines := asked(verdict):
        ElementTree.SubElement(suite, "system-out").text = _allowed("\n".join(lines))
    return suite


def _violation(place: str, item: Item) -> ElementTree.Element:
    found, state = item.violation, standing(item)
    name = f"{found.op} {found.node}" + ("" if item.deployed else " before quantisation")
    text = sentence(item) + (f" ({found.source})" if found.source else "")
    title = f"{found.level}: {found.found}" + (f" [{state}]" if state else "")
    return _case(place, name, "failure" if item.fails else "skipped", title, text)


def _heard(judged: ModelResult, verified: Verified) -> ElementTree.Element:
    outcome = {"compiles": "", "refused": "failure", "differs": "failure", "no compiler": "error"}[
        verified.said
    ]
    return _case(
        f"{judged.model} on {verified.target}", "compiles", outcome, verified.said, "; ".join(heard(verified))
    )


def _case(place: str, name: str, outcome: str = "", title: str = "", text: str = "") -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=_allowed(place), name=_allowed(name), time="0")
    if outcome:
        said = ElementTree.SubElement(case, outcome, message=_allowed(title))
        if outcome != "skipped":
            said.set("type", _allowed(title.partition(":")[0]))
        said.text = _allowed(re.sub(r"[\t\r]", " ", text))  # which readers would change, in text
    return case


def _element(tag: str, name: str, children: Iterable[ElementTree.Element]) -> ElementTree.Element:
    """A suite, or the suites, with the counts that viewers expect."""
    element = ElementTree.Element(tag, name=_allowed(name))
    element.extend(children)
    for count, counted in _COUNTS.items():
        element.set(count, str(sum(1 for _ in element.iter(counted))))
    element.set("time", "0")
    return element


def _allowed(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
