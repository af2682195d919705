"""Formats for people and CI, above all with names that try to be something else."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mosaic_deploy.errors import UsageError
from mosaic_deploy.gate.formats.registry import FORMATS, find_format
from mosaic_deploy.gate.report import GateReport, ModelResult, Reproducer, Verified
from mosaic_deploy.gate.verdict import Cleared, Cure, Inquiry, Item
from tests.gate.gate_models import here, hostile, verdict, violation, waiver


def render(name: str, report: GateReport, folder: Path) -> str:
    return find_format(name)(report, here(folder))


def of(*items: Item, limit: float | None = None) -> GateReport:
    return GateReport((ModelResult("nets/a.onnx", (verdict(*items, limit=limit),)),))


REFUSED = Item(violation(source="model.py:2", error="no kernel"), deployed=True)


def test_an_unknown_format_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'sarif'"):
        find_format("sarf")


@pytest.mark.parametrize("name", FORMATS)
def test_no_control_character_reaches_a_terminal(name: str, tmp_path: Path) -> None:
    text = render(name, hostile(), tmp_path)
    assert not [c for c in text if not c.isprintable() and c not in "\n\ud7ff"]


@pytest.mark.parametrize("name", FORMATS)
def test_names_that_are_no_text_can_be_written(name: str, tmp_path: Path) -> None:
    report = GateReport(
        (ModelResult("nets/\udcff.onnx", (verdict(REFUSED),)), ModelResult("\udcff", (), "\udcff: bad"))
    )
    render(name, report, tmp_path).encode()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_tells_node_operator_and_fix(name: str, tmp_path: Path) -> None:
    text = render(name, of(REFUSED), tmp_path)
    plain = text.replace("\\/", "/").replace("&#95;", "_")
    assert all(word in plain for word in ("nets/a.onnx", "blk/erf", "Erf", "use Gelu", "dsp"))


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"json"}))  # which has both as they are
@pytest.mark.parametrize("exact", [True, False])
def test_what_the_build_rewrites_needs_no_other_fix(name: str, exact: bool, tmp_path: Path) -> None:
    cured = Item(violation(), deployed=True, cure=Cure(("erf",), exact=exact))
    assert ("use Gelu" in render(name, of(cured), tmp_path)) is not exact


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_shows_what_is_waived(name: str, tmp_path: Path) -> None:
    text = render(name, of(Item(violation(), deployed=True, waiver=waiver(reason="until autumn"))), tmp_path)
    assert "until autumn" in text


@pytest.mark.parametrize("name", ["junit", "markdown", "sarif", "text"])
def test_reports_tell_what_the_compiler_was_asked_and_cleared(name: str, tmp_path: Path) -> None:
    cleared = Cleared(("n1", "n2"), "Erf", "unknown", ("Erf",), 0.001)
    heard = replace(verdict(), inquiry=Inquiry("a compiler 1.0", tried=2, recalled=1, cleared=(cleared,)))
    text = render(name, GateReport((ModelResult("nets/a.onnx", (heard,)),)), tmp_path)
    assert "asked a compiler 1.0: 2 parts compiled, 1 recalled" in text
    assert "cleared, was unknown: Erf alone: 2 nodes" in text
    assert "a compiler 1.0" not in render(name, of(), tmp_path)


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"text"}))
def test_every_format_tells_of_unusable_models(name: str, tmp_path: Path) -> None:
    text = render(name, GateReport((ModelResult("bad.onnx", (), "bad.onnx: cut short"),)), tmp_path)
    assert "cut short" in text


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_tells_of_missing_tables(name: str, tmp_path: Path) -> None:
    text = render(name, hostile(), tmp_path)
    assert re.search(r"no table|no-table|no verdict", text)


def test_text_joins_nodes_that_differ_in_nothing_else(tmp_path: Path) -> None:
    items = [Item(violation(node=f"n{i}", macs_share=0.01), deployed=True) for i in range(9)]
    text = render("text", of(*items), tmp_path)
    assert text.count("operator Erf") == 1
    assert "n0, n1, n2, n3, n4, n5 and 3 more; 9.0 % of the MACs" in text


def test_text_puts_the_worst_first_and_names_the_line(tmp_path: Path) -> None:
    text = render("text", of(Item(violation("unknown", node="u"), deployed=True), REFUSED), tmp_path)
    assert text.index("unsupported: Erf") < text.index("unknown: Erf")
    assert "blk/erf (model.py:2)" in text


def test_text_says_when_too_much_falls_back(tmp_path: Path) -> None:
    text = render("text", of(Item(violation("fallback"), deployed=True), limit=0.05), tmp_path)
    assert "unsupported: 4 nodes, 1 in other kernels, 25.0 % of the MACs fall back, 5.0 % allowed" in text


def test_json_has_everything(tmp_path: Path) -> None:
    record = json.loads(render("json", hostile(), tmp_path))
    assert (record["schema"], record["passed"], record["exit_code"]) == (1, False, 1)
    first, second = record["models"][0]["verdicts"]
    assert [v["fails"] for v in first["violations"]] == [True, False, False, False, False]
    assert second["verdict"] == "no table"
    assert record["failures"][0]["model"] == "nets/bad.onnx"
    assert [w["op"] for w in record["expired_waivers"]] == ["Erf"]
    assert [w["op"] for w in record["idle_waivers"]] == ["Mish"]


def junit(report: GateReport, folder: Path) -> ElementTree.Element:
    return ElementTree.fromstring(render("junit", report, folder))


def test_junit_parses_and_counts(tmp_path: Path) -> None:
    root = junit(hostile(), tmp_path)
    for element in (root, *root.iter("testsuite")):
        for attribute, tag in (
            ("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped"),
        ):  # fmt: skip
            assert int(element.attrib[attribute]) == len(list(element.iter(tag))), (element.tag, tag)
    assert [s.attrib["name"] for s in root] == [
        "nets/a b,c:d.onnx on dsp", "nets/a b,c:d.onnx on gpu", "nets/bad.onnx",
        "nets/c.onnx compiled", "waivers",
    ]  # fmt: skip
    assert {child.tag for case in root.iter("testcase") for child in case} == {"failure", "error", "skipped"}


def test_junit_has_a_case_per_violation_and_clean_operator(tmp_path: Path) -> None:
    cases = list(junit(of(REFUSED, Item(violation(node="x"), deployed=True)), tmp_path).iter("testcase"))
    assert [case.attrib["name"] for case in cases] == ["Relu (3 nodes)", "Erf blk/erf", "Erf x"]
    assert [[child.tag for child in case] for case in cases] == [[], ["failure"], ["failure"]]
    assert "no kernel" in (cases[1][0].text or "")


def test_junit_holds_every_character_that_xml_can(tmp_path: Path) -> None:
    odd = "a\tb\nc\rd & <e> \"f\" 'g' ]]> \U0001f600 \x00\x1b\x7f\ufffe\udc80"
    held = odd.translate(dict.fromkeys((0x00, 0x1B, 0xFFFE, 0xDC80), "\ufffd"))
    item = Item(violation(node=odd, found=odd, error=odd), deployed=True)
    case = list(junit(of(item), tmp_path).iter("testcase"))[-1]
    assert case.attrib["name"] == f"Erf {held}"
    assert case[0].attrib == {"message": f"unsupported: {held}", "type": "unsupported"}
    assert held.replace("\t", " ").replace("\r", " ") in (case[0].text or "")


def test_junit_fails_on_too_much_fallback(tmp_path: Path) -> None:
    slow = Item(violation("fallback"), deployed=True)
    assert junit(of(slow, limit=0.05), tmp_path).attrib["failures"] == "1"
    assert junit(of(slow, limit=0.5), tmp_path).attrib["failures"] == "0"


def unescape(text: str) -> str:
    for code, sign in (("%0A", "\n"), ("%0D", "\r"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, sign)
    return text


def test_github_commands_are_whole(tmp_path: Path) -> None:
    lines = render("github", hostile(), tmp_path).split("\n")
    commands = [line for line in lines if line.lstrip().startswith("::")]
    for line in commands:
        level, properties, message = re.fullmatch(r"::(\w+) ([^:]*)::(.*)", line).groups()  # type: ignore[union-attr]
        keys = [part.partition("=")[0] for part in properties.split(",")]
        assert level in {"error", "warning", "notice"}
        assert set(keys) <= {"file", "line", "title"}
        assert unescape(message)
    assert any("file=nets/a b%2Cc%3Ad.onnx," in line for line in commands)
    assert not any("##[" in line for line in lines)
    assert all(line.startswith("mosaic-deploy: ") for line in lines if line not in commands)


def test_github_points_at_the_line_of_the_network(tmp_path: Path) -> None:
    first = render("github", of(REFUSED), tmp_path).split("\n")[0]
    assert first.startswith(
        "::error file=model.py,line=2,title=unsupported on dsp%3A Erf::nets/a.onnx: blk/erf: "
    )
    elsewhere = Item(violation(source="site-packages/x.py:2"), deployed=True)
    assert "::error file=nets/a.onnx,title=" in render("github", of(elsewhere), tmp_path)


def test_github_says_waived_and_known_ones_softly(tmp_path: Path) -> None:
    waived = Item(violation(), deployed=True, waiver=waiver())
    known = Item(violation(node="k"), deployed=True, known=True)
    lines = render("github", of(waived, known), tmp_path).split("\n")
    assert [line.split(" ")[0] for line in lines[:2]] == ["::notice", "::notice"]


def test_markdown_tables_hold_together(tmp_path: Path) -> None:
    text = render("markdown", hostile(), tmp_path)
    widths: list[int] = []
    for block in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        widths += {len(re.findall(r"\|", row)) for row in block.strip().split("\n")}
    assert widths == [4, 8]  # 3 and 7 cells in every row
    assert "<script" not in text
    assert "@you" not in text
    assert not re.search(r"\]\(", text)


def test_markdown_says_the_gate_first(tmp_path: Path) -> None:
    assert render("markdown", of(REFUSED), tmp_path).startswith("### mosaic-deploy check failed\n")
    assert render("markdown", of(), tmp_path).startswith("### mosaic-deploy check passed\n")


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_says_what_the_compiler_refuses(name: str, tmp_path: Path) -> None:
    culprit = Reproducer("part.onnx", ("neck.act",), ("Mish",), "dies at finalise")
    heard = Verified("dsp", "tool 1", "refused", "fails-to-compile on v68", (culprit,))
    report = GateReport((ModelResult("net.onnx", (), verified=(heard,)),))
    text = find_format(name)(report, here(tmp_path))
    assert all(word in text for word in ("neck.act", "part.onnx", "dies at finalise", "v68"))
