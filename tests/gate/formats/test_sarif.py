"""SARIF 2.1.0, held against what the standard says a producer must do, clause by clause."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mosaic_deploy.gate.formats.registry import find_format
from mosaic_deploy.gate.report import GateReport, ModelResult
from mosaic_deploy.gate.verdict import Item
from tests.gate.gate_models import here, hostile, verdict, violation

_KEYS = {
    "log": {"$schema", "version", "runs", "inlineExternalProperties", "properties"},
    "run": {
        "tool", "invocations", "results", "automationDetails", "artifacts", "originalUriBaseIds",
        "columnKind", "properties",
    },
    "driver": {"name", "version", "semanticVersion", "informationUri", "rules", "organization", "properties"},
    "rule": {
        "id", "name", "shortDescription", "fullDescription", "helpUri", "help", "defaultConfiguration",
        "properties", "messageStrings",
    },
    "result": {
        "ruleId", "ruleIndex", "level", "kind", "message", "locations", "partialFingerprints", "fingerprints",
        "suppressions", "baselineState", "relatedLocations", "properties", "rank", "guid",
    },
    "location": {"id", "physicalLocation", "logicalLocations", "message", "properties"},
    "physical": {"artifactLocation", "region", "contextRegion", "address", "properties"},
    "logical": {"name", "fullyQualifiedName", "decoratedName", "kind", "index", "parentIndex", "properties"},
    "invocation": {"executionSuccessful", "exitCode", "toolExecutionNotifications", "properties"},
    "suppression": {"kind", "status", "justification", "location", "guid", "properties"},
}  # fmt: skip
"""Properties that the schema knows of each object; it forbids all others."""

_LEVELS = {"none", "note", "warning", "error"}


def problems(log: dict[str, Any]) -> Iterator[str]:
    """What in a log breaks the standard."""
    yield from _extra("log", log)
    if log.get("version") != "2.1.0":
        yield "3.13.2: version is 2.1.0"
    if not isinstance(log.get("runs"), list):
        yield "3.13.4: runs is an array"
    for run in log.get("runs", []):
        yield from _extra("run", run)
        driver = run.get("tool", {}).get("driver", {})
        yield from _extra("driver", driver)
        if not driver.get("name"):
            yield "3.19.8: the driver has a name"
        yield from _rules(driver.get("rules", []))
        yield from _results(run.get("results", []), driver.get("rules", []))
        for invocation in run.get("invocations", []):
            yield from _extra("invocation", invocation)
            if not isinstance(invocation.get("executionSuccessful"), bool):
                yield "3.20.14: executionSuccessful is there"
            for note in invocation.get("toolExecutionNotifications", []):
                yield from _message(note.get("message"))


def _extra(kind: str, value: dict[str, Any]) -> Iterator[str]:
    for key in set(value) - _KEYS[kind]:
        yield f"{kind} has no property {key}"


def _rules(rules: list[dict[str, Any]]) -> Iterator[str]:
    if len({rule["id"] for rule in rules}) != len(rules):
        yield "3.19.23: rules are unique"
    for rule in rules:
        yield from _extra("rule", rule)
        for key in ("shortDescription", "fullDescription", "help"):
            yield from _message(rule.get(key))
        if not re.fullmatch(r"https://[!-~]+", rule.get("helpUri", "")):
            yield f"3.49.12: helpUri is an absolute URI: {rule.get('helpUri')}"


def _results(results: list[dict[str, Any]], rules: list[dict[str, Any]]) -> Iterator[str]:
    for key in ("suppressions", "baselineState"):
        if len({key in result for result in results}) > 1:
            yield f"3.27.23, 3.27.24: {key} is in all results or in none"
    for result in results:
        yield from _extra("result", result)
        yield from _message(result.get("message"))
        if result.get("level") not in _LEVELS:
            yield f"3.27.10: level {result.get('level')}"
        index = result.get("ruleIndex", -1)
        if not 0 <= index < len(rules) or rules[index]["id"] != result.get("ruleId"):
            yield "3.27.6: ruleIndex is that of ruleId"
        if result.get("baselineState", "new") not in {"new", "unchanged", "updated", "absent"}:
            yield "3.27.24: baselineState"
        if not all(isinstance(v, str) for v in result.get("partialFingerprints", {}).values()):
            yield "3.27.17: fingerprints are strings"
        for suppression in result.get("suppressions", []):
            yield from _extra("suppression", suppression)
            if suppression.get("kind") not in {"inSource", "external"}:
                yield "3.35.2: kind"
            if suppression.get("status") not in {"accepted", "underReview", "rejected"}:
                yield "3.35.3: status"
        for location in result.get("locations", []):
            yield from _location(location)


def _location(location: dict[str, Any]) -> Iterator[str]:
    yield from _extra("location", location)
    physical = location["physicalLocation"]
    yield from _extra("physical", physical)
    uri, base = physical["artifactLocation"]["uri"], physical["artifactLocation"].get("uriBaseId")
    if not re.fullmatch(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})+", uri):
        yield f"3.10.1: {uri} is no URI"
    parts = urlsplit(uri)
    if base is not None and (parts.scheme or uri.startswith("/") or ":" in uri.split("/")[0]):
        yield f"3.4.4: {uri} is not relative"
    if base is None and not parts.scheme:
        yield f"3.4.3: {uri} has neither a base nor a scheme"
    if "region" in physical and physical["region"].get("startLine", 0) < 1:
        yield "3.30.5: startLine counts from 1"
    for logical in location.get("logicalLocations", []):
        yield from _extra("logical", logical)
        if not logical.get("name") and not logical.get("fullyQualifiedName"):
            yield "3.33.4: a name"


def _message(message: Any) -> Iterator[str]:
    if not isinstance(message, dict) or set(message) - {"text", "markdown", "id", "arguments"}:
        yield f"3.11.2: {message} is no message"
        return
    text = message.get("text")
    if not isinstance(text, str) or not text:
        yield "3.11.8: text is there"
        return
    if re.search(r"[{}]", text.replace("{{", "").replace("}}", "")):
        yield f"3.11.5: braces are doubled: {text}"
    if re.search(r"\[[^\]]*\]\(", re.sub(r"\\.", "", text)):
        yield f"3.11.6: no link is meant: {text}"


def render(report: GateReport, folder: Path) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(find_format("sarif")(report, here(folder)))
    return log


def test_a_hostile_report_is_sound_sarif(tmp_path: Path) -> None:
    assert list(problems(render(hostile(), tmp_path))) == []


def test_a_clean_report_is_sound_sarif(tmp_path: Path) -> None:
    log = render(GateReport((ModelResult("a.onnx", (verdict(),)),)), tmp_path)
    assert list(problems(log)) == []
    assert log["runs"][0]["results"] == []


@pytest.mark.parametrize(
    ("way", "value", "says"),
    [
        pytest.param(("version",), "2.0.0", "3.13.2", id="version"),
        pytest.param(("runs", 0, "tool", "driver", "name"), "", "3.19.8", id="no-name"),
        pytest.param(("runs", 0, "results", 0, "level"), "fatal", "3.27.10", id="level"),
        pytest.param(("runs", 0, "results", 0, "ruleIndex"), 1, "3.27.6", id="rule-index"),
        pytest.param(("runs", 0, "results", 0, "colour"), "red", "no property colour", id="unknown-key"),
        pytest.param(("runs", 0, "results", 0, "message"), {"text": "{0}"}, "3.11.5", id="placeholder"),
        pytest.param(("runs", 0, "results", 0, "message"), {"text": "[a](b)"}, "3.11.6", id="link"),
        pytest.param(("runs", 0, "results", 0, "suppressions"), [], "3.27.23", id="some-suppressions"),
        pytest.param(
            ("runs", 0, "tool", "driver", "rules", 0, "helpUri"), "docs/x.md", "3.49.12", id="relative-help"
        ),
    ],
)
def test_the_check_says_no(way: tuple[str | int, ...], value: object, says: str, tmp_path: Path) -> None:
    items = (Item(violation(), deployed=True), Item(violation(rule="other"), deployed=True))
    log: Any = render(GateReport((ModelResult("a.onnx", (verdict(*items),)),)), tmp_path)
    assert list(problems(log)) == []
    place = log
    for key in way[:-1]:
        place = place[key]
    place[way[-1]] = value
    (problem,) = problems(log)
    assert says in problem


def test_results_lie_at_the_source_line_or_at_the_model(tmp_path: Path) -> None:
    results = render(hostile(), tmp_path)["runs"][0]["results"]
    places = {r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]: r for r in results}
    assert set(places) == {
        "nets/a%20b%2Cc%3Ad.onnx",
        "model.py",
        "nets/bad.onnx",
        "nets/c.onnx",
        "mosaic-deploy.toml",
    }
    source = places["model.py"]["locations"][0]
    assert source["physicalLocation"]["region"] == {"startLine": 3}
    assert source["logicalLocations"][0]["name"] == "blk/erf"
    model = next(
        r for r in results if r["locations"][0].get("logicalLocations", [{}])[0].get("name") == "two"
    )
    assert "region" not in model["locations"][0]["physicalLocation"]


def test_a_compilers_no_is_a_result(tmp_path: Path) -> None:
    results = render(hostile(), tmp_path)["runs"][0]["results"]
    heard = {r["ruleId"]: r["message"]["text"] for r in results if r["ruleId"].startswith("target/")}
    assert "five" in heard["target/refused"]
    assert "gpu" in heard["target/no-compiler"]


def test_waivers_are_suppressions_and_known_ones_unchanged(tmp_path: Path) -> None:
    results = render(hostile(), tmp_path)["runs"][0]["results"]
    waived = [r for r in results if r["suppressions"]]
    assert [(r["level"], r["suppressions"][0]["kind"]) for r in waived] == [("error", "external")]
    assert sum(r["baselineState"] == "unchanged" for r in results) == 1


def prints(items: list[Item], folder: Path) -> list[str]:
    results = render(GateReport((ModelResult("a.onnx", (verdict(*items),)),)), folder)["runs"][0]["results"]
    return [r["partialFingerprints"]["primaryLocationLineHash"] for r in results]


def test_fingerprints_outlive_renamed_nodes_and_are_unique(tmp_path: Path) -> None:
    before = prints([Item(violation(node=n), deployed=True) for n in "ab"], tmp_path)
    after = prints([Item(violation(node=n), deployed=True) for n in "xyz"], tmp_path)
    assert len(set(after)) == 3
    assert set(before) < set(after)
    other = prints([Item(violation(node="a", found="axis 2"), deployed=True)], tmp_path)
    assert not set(other) & set(after)
