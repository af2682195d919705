"""JUnit XML, which every CI shows: a suite per model and target, a case per violation and clean operator."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from mosaic_deploy.gate.formats.words import NO_TABLE, heard, nodes, notes, sentence, standing, summary
from mosaic_deploy.gate.report import GateReport, ModelResult, Verified
from mosaic_deploy.gate.repository import Repository
from mosaic_deploy.gate.verdict import Item, TargetVerdict

# What XML 1.0 has no way to write, not even as a reference.
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


def render(report: GateReport, repository: Repository) -> str:  # noqa: ARG001  # every format's signature
    """Render one document; a suite says no with failures, and with errors where there is no verdict."""
    suites = [_suite(judged, verdict) for judged, verdict in report.verdicts()]
    suites += [
        _element(
            "testsuite", judged.model, [_case(judged.model, "read", "error", "cannot be used", judged.error)]
        )
        for judged in report.models
        if judged.error
    ]
    suites += [
        _element("testsuite", f"{judged.model} compiled", [_heard(judged, one) for one in judged.verified])
        for judged in report.models
        if judged.verified
    ]
    if report.expired or report.idle:
        expired = len(report.expired)
        cases = [
            _case(
                "waivers",
                note,
                *(("failure", "expired") if i < expired else ("skipped", "covers nothing here")),
            )
            for i, note in enumerate(notes(report))
        ]
        suites.append(_element("testsuite", "waivers", cases))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{_element("testsuites", "mosaic-deploy check", suites)}'


def _suite(judged: ModelResult, verdict: TargetVerdict) -> str:
    place = f"{judged.model} on {verdict.target}"
    if not verdict.table:
        return _element("testsuite", place, [_case(place, "verdict", "error", "no table", NO_TABLE)])
    found = {item.violation.op for item in verdict.items}
    cases = [_case(place, f"{op} ({nodes(n)})") for op, n in verdict.operators if op not in found]
    cases += [_violation(place, item) for item in verdict.items]
    if verdict.max_fallback_macs is not None:
        no = ("failure", summary(verdict)) if verdict.too_much_fallback else ()
        cases.append(_case(place, "share of the MACs that falls back", *no))
    return _element("testsuite", place, cases)


def _violation(place: str, item: Item) -> str:
    found, state = item.violation, standing(item)
    name = f"{found.op} {found.node}" + ("" if item.deployed else " before quantising")
    text = sentence(item) + (f" ({found.source})" if found.source else "")
    title = f"{found.level}: {found.found}" + (f" [{state}]" if state else "")
    return _case(place, name, "failure" if item.fails else "skipped", title, text)


def _heard(judged: ModelResult, verified: Verified) -> str:
    outcome = {"compiles": "", "refused": "failure", "no compiler": "error"}[verified.said]
    return _case(
        f"{judged.model} on {verified.target}", "compiles", outcome, verified.said, "; ".join(heard(verified))
    )


def _case(place: str, name: str, outcome: str = "", title: str = "", text: str = "") -> str:
    head = f'<testcase classname="{_escape(place)}" name="{_escape(name)}" time="0"'
    if not outcome:
        return f"{head}/>"
    kind = f' type="{_escape(title.partition(":")[0])}"' if outcome != "skipped" else ""
    inner = f'<{outcome} message="{_escape(title)}"{kind}>{_escape(text)}</{outcome}>'
    return f"{head}>{inner}</testcase>"


def _element(tag: str, name: str, children: Iterable[str]) -> str:
    """A suite, or the suites, with the counts that viewers expect."""
    inside = "\n".join(children)
    counts = {
        "tests": inside.count("<testcase "),
        "failures": inside.count("<failure "),
        "errors": inside.count("<error "),
        "skipped": inside.count("<skipped "),
    }
    stated = " ".join(f'{key}="{count}"' for key, count in counts.items())
    return f'<{tag} name="{_escape(name)}" {stated} time="0">\n{inside}\n</{tag}>'


def _escape(text: str) -> str:
    """Text for an element or an attribute; no ``<`` of it survives, so that tags can be counted."""
    allowed = _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
    return re.sub(r"[\t\n\r]", lambda found: f"&#{ord(found[0])};", html.escape(allowed))
