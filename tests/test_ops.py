"""Op tables: the schema's answers to mistakes, and what the shipped tables promise."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from mosaic_deploy.constraints import CONSTRAINTS
from mosaic_deploy.errors import SpecError
from mosaic_deploy.ops import Limit, OpTable, Range, allows, load_table
from mosaic_deploy.schema import read_toml

HEAD = """
schema = 1
name = "pretend"
summary = "a compiler that knows Relu"
tool = "pretend"
version = "1"
devices = ["a", "b"]
fallback = false
folds_constants = true
"""
RELU = """
[[rule]]
id = "relu"
op = "Relu"
versions = [14]
dtypes = ["float32"]
ranks = [4]
verdict = "runs"
evidence = { cases = 3 }
"""


def table(tmp_path: Path, text: str) -> OpTable:
    path = tmp_path / "pretend.toml"
    path.write_text(HEAD + text, encoding="utf-8")
    return read_toml(OpTable, path)


def test_a_table_is_read(tmp_path: Path) -> None:
    found = table(tmp_path, RELU)
    assert found.ops == ("Relu",)
    assert found.rules[0].accepts


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param("ranks =", "rank =", "unknown key 'rule.0.rank' (did you mean 'ranks'?)", id="key"),
        pytest.param(
            "ranks = [4]",
            'ranks = [4]\nconstraints = ["dilations_are_on"]',
            "no constraint 'dilations_are_on' (did you mean 'dilations_are_one'?)",
            id="constraint",
        ),
        pytest.param("ranks = [4]", "", "must name versions, ranks, and dtypes or grids", id="too-broad"),
        pytest.param("float32", "float23", "rule.0.dtypes.0", id="dtype"),
        pytest.param('"runs"', '"works"', "rule.0.verdict", id="verdict"),
        pytest.param('"runs"', '"wrong"', "must say what to do instead", id="no-fix"),
        pytest.param("cases = 3", 'cases = 3, devices = ["c"]', "no device 'c'", id="device"),
        pytest.param("evidence = { cases = 3 }", "", "'rule.0.evidence' is missing", id="no-evidence"),
        pytest.param(
            "ranks = [4]",
            'ranks = [4]\nbreaks = ["axis_is_last"]',
            "only a refusal has 'breaks'",
            id="breaks",
        ),
        pytest.param('"Relu"', '"*"', "holds for every operator", id="accepts-everything"),
        pytest.param('id = "relu"', 'id = "Re Lu"', "rule.0.id", id="id"),
    ],
)
def test_mistakes_are_answered(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        table(tmp_path, RELU.replace(old, new))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rules_have_names_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="two rules are called 'relu'"):
        table(tmp_path, RELU + RELU)


def test_an_unknown_table_is_answered_with_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"no op table 'qnn-http' \(did you mean 'qnn-htp'\?\)"):
        load_table("qnn-http")


@pytest.mark.parametrize(
    ("limit", "value", "fine"),
    [
        pytest.param("any", "?", True, id="any"),
        pytest.param((1, 2), 2, True, id="listed"),
        pytest.param((1, 2), 3, False, id="not-listed"),
        pytest.param((0.2,), 0.20000000298023224, True, id="rounded-to-float32"),
        pytest.param((1,), (1, 1), True, id="each-element"),
        pytest.param((1,), (1, 2), False, id="one-element-off"),
        pytest.param(("floor",), "ceil", False, id="word"),
        pytest.param((1,), "1", False, id="word-for-number"),
        pytest.param(Range(min=1, max=3), (1, 3), True, id="in-range"),
        pytest.param(Range(min=1, max=3), (0, 3), False, id="below"),
        pytest.param(Range(max=3), -5, True, id="open-end"),
        pytest.param(Range(), "word", False, id="range-of-words"),
    ],
)
def test_limits(limit: Limit, value: int | float | str | tuple[int, ...], fine: bool) -> None:
    assert allows(limit, value) is fine


@pytest.fixture(scope="module")
def htp() -> OpTable:
    return load_table("qnn-htp")


def test_qnn_htp_speaks_of_the_operators_of_segmentation_networks(htp: OpTable) -> None:
    assert len(htp.ops) >= 110
    accepted = {rule.op for rule in htp.rules if rule.accepts}
    assert accepted >= {
        "Add", "ArgMax", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Conv",
        "ConvTranspose", "DepthToSpace", "GlobalAveragePool", "HardSigmoid", "HardSwish", "MatMul",
        "MaxPool", "Mul", "Pad", "Relu", "Reshape", "Resize", "Sigmoid", "Slice", "Softmax", "Split",
        "Transpose",
    }  # fmt: skip


def test_qnn_htp_knows_what_is_silently_wrong(htp: OpTable) -> None:
    wrong = {rule.op for rule in htp.rules if rule.verdict == "wrong"}
    assert wrong >= {"AveragePool", "Cast", "MatMul", "Pad", "Resize", "Swish", "Log"}


def test_qnn_htp_names_only_operators_versions_and_attributes_that_exist(htp: OpTable) -> None:
    for rule in htp.rules:
        if rule.op == "*" or rule.domain:
            continue
        schemas = [s for s in onnx.defs.get_all_schemas_with_history() if s.name == rule.op and not s.domain]
        assert schemas, rule.op
        assert set(rule.versions) <= {schema.since_version for schema in schemas}, rule.id
        known = {name for schema in schemas for name in schema.attributes}
        assert set(rule.attributes) <= known, rule.id


def test_qnn_htp_rests_on_trials_alone(htp: OpTable) -> None:
    assert all(rule.evidence.cases > 0 for rule in htp.rules)


def test_qnn_htp_uses_every_constraint(htp: OpTable) -> None:
    used = {name for rule in htp.rules for name in (*rule.constraints, *rule.breaks)}
    assert used == set(CONSTRAINTS)
