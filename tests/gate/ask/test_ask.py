"""Asking: what the compiler runs is cleared, what it refuses fails, nobody asks twice."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from mosaic_deploy.gate.ask.ask import Asking, ask
from mosaic_deploy.gate.judging import find_subject, judge_model
from mosaic_deploy.gate.op_support.tables import OpTable
from mosaic_deploy.gate.verdict import GatePolicy, GateTarget, TargetVerdict
from mosaic_deploy.graph.reader.read import read_model
from tests.gate.gate_models import TODAY, write

BODY = "a = Relu (image) b = Erf (a) y = Neg (b)"


def without(subject: GateTarget, *ops: str, refuse: str = "") -> GateTarget:
    """The target, its table ignorant of some operators, or wrongly refusing one."""
    assert subject.table is not None
    record = subject.table.model_dump(by_alias=True)
    record["rule"] = [rule for rule in record["rule"] if rule["op"] not in ops]
    if refuse:
        record["rule"].append(
            {"id": "no", "op": refuse, "verdict": "fails-to-compile", "evidence": {"cases": 1}, "fix": "-"}
        )
    return GateTarget(
        subject.name,
        subject.recipe,
        OpTable.model_validate(record),
        subject.devices,
        subject.max_fallback_macs,
    )


def asked(path: Path, subject: GateTarget, folder: Path, *, seconds: float = 300) -> TargetVerdict:
    (judged,) = judge_model(read_model(path), [subject], path="m.onnx", terms=GatePolicy(TODAY))
    assert not judged.verdict.passed
    return ask(judged, subject, Asking(folder, folder / "parts", seconds), lambda *_: None)


@pytest.fixture(scope="module")
def target() -> GateTarget:
    return find_subject("ort-mobile", "fp32")


def test_what_runs_is_cleared_and_remembered(target: GateTarget, tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", BODY)
    first = asked(path, without(target, "Erf"), tmp_path / "evidence")
    assert (first.kind, first.passed) == ("supported", True)
    assert first.inquiry is not None
    assert first.inquiry.tried == 2  # alone, and in company
    assert [(one.op, one.level) for one in first.inquiry.cleared] == [("Erf", "unknown")]
    again = asked(path, without(target, "Erf"), tmp_path / "evidence")
    assert again.inquiry is not None
    assert (again.passed, again.inquiry.tried, again.inquiry.recalled) == (True, 0, 2)


def test_a_refusal_that_the_compiler_does_not_confirm_falls(target: GateTarget, tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", BODY)
    verdict = asked(path, without(target, "Erf", refuse="Erf"), tmp_path / "evidence")
    assert (verdict.kind, verdict.items) == ("supported", ())
    assert verdict.inquiry is not None
    assert [one.level for one in verdict.inquiry.cleared] == ["unsupported"]


def test_what_the_compiler_refuses_fails_with_its_words_and_a_part(
    target: GateTarget, tmp_path: Path
) -> None:
    # Few parts fail on ONNX Runtime, so that the evidence is made to say it.
    path = write(tmp_path / "m.onnx", BODY)
    first = asked(path, without(target, "Erf"), tmp_path / "evidence")
    assert first.passed
    held = tmp_path / "evidence" / "ort-mobile.jsonl"
    held.write_text(
        held.read_text(encoding="utf-8")
        .replace('"found": "runs"', '"found": "fails-to-compile"')
        .replace('"error": ""', '"error": "no kernel"'),
        encoding="utf-8",
    )
    verdict = asked(path, without(target, "Erf"), tmp_path / "evidence")
    assert (verdict.kind, verdict.passed) == ("unsupported", False)
    (item,) = verdict.items
    assert (item.basis, item.violation.rule, item.violation.level) == ("asked", "asked", "unsupported")
    assert "no kernel" in item.violation.error
    assert [node.op_type for node in onnx.load(item.reproducer).graph.node] == ["Erf"]


def test_without_time_it_stays_undecided_and_says_so(target: GateTarget, tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", "a = Erf (image) b = Neg (a) c = Sin (b) y = Cos (c)")
    verdict = asked(path, without(target, "Erf", "Sin", "Cos"), tmp_path / "evidence", seconds=0)
    assert verdict.inquiry is not None
    assert "--budget" in verdict.inquiry.note
    assert (verdict.kind, verdict.passed) == ("undecided", False)
