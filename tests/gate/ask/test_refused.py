"""What a table refuses is cut out, once for each operator and rule."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from mosaic_deploy.errors import UsageError
from mosaic_deploy.gate.ask.inquiry import AskTerms, inquire
from mosaic_deploy.gate.judging import find_subject, judge_model
from mosaic_deploy.gate.verdict import GatePolicy, TargetVerdict
from mosaic_deploy.graph.reader.read import read_model
from tests.gate.gate_models import TODAY, write

BODY = "a = Erf (image) b = Neg (a) c = Erf (b) y = Relu (c)"


def refused(folder: Path, save: Path | None) -> TargetVerdict:
    subject = find_subject("edgetpu", "int8")
    model = read_model(write(folder / "m.onnx", BODY))
    (judged,) = judge_model(model, [subject], path="m.onnx", terms=GatePolicy(TODAY))
    return inquire(judged, subject, AskTerms("warn", save=save), lambda *_: None)


def test_a_part_for_each_operator_and_rule(tmp_path: Path) -> None:
    verdict = refused(tmp_path, tmp_path / "parts")
    assert verdict.kind == "unsupported"
    named = {
        item.violation.node: item.reproducer for item in verdict.items if item.refused and not item.cured
    }
    assert len(named) > len(set(named.values())) > 0  # both Erf are one case
    assert {str(path) for path in (tmp_path / "parts").iterdir()} == set(named.values())
    for path in set(named.values()):
        assert len(onnx.load(path).graph.node) == 1


def test_none_where_nobody_said_where(tmp_path: Path) -> None:
    assert {item.reproducer for item in refused(tmp_path, None).items} == {""}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"--save .*file.*cannot be written"):
        refused(tmp_path, tmp_path / "file" / "parts")
