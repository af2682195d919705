"""Op tables: the schema's answers to mistakes, and what the shipped tables promise."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import onnx
import pytest

from mosaic_deploy.errors import SpecError
from mosaic_deploy.gate.op_support.constraints import CONSTRAINTS
from mosaic_deploy.gate.op_support.load import load_table
from mosaic_deploy.gate.op_support.table_file import read_table
from mosaic_deploy.gate.op_support.tables import Limit, OpTable, Range, allows
from mosaic_deploy.specs.root import spec_root

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
[ops.Relu]
rules = [{ verdict = "runs", cases = 3, versions = [14], dtypes = ["float32"], ranks = [4] }]
"""


def table(tmp_path: Path, text: str) -> OpTable:
    path = tmp_path / "pretend.toml"
    path.write_text(HEAD + text, encoding="utf-8")
    return read_table(path)


def test_a_table_is_read(tmp_path: Path) -> None:
    found = table(tmp_path, RELU)
    assert found.ops == ("Relu",)
    assert found.rules[0].accepts


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param(
            "ranks =", "rank =", "unknown key 'ops.Relu.rules.0.rank' (did you mean 'ranks'?)", id="key"
        ),
        pytest.param(
            "rules =", "versoins = [14]\nrules =", "unknown key 'ops.Relu.versoins'", id="key-of-operator"
        ),
        pytest.param("[ops.Relu]", "[op.Relu]", "unknown key 'op' (did you mean 'ops'?)", id="key-of-table"),
        pytest.param("versions = [14]", "grids = []", "unknown key 'ops.Relu.rules.0.grids'", id="old-key"),
        pytest.param(
            "ranks = [4]",
            'ranks = [4], constraints = ["dilations_are_on"]',
            "no constraint 'dilations_are_on' (did you mean 'dilations_are_one'?)",
            id="constraint",
        ),
        pytest.param(
            ", ranks = [4]", "", "must name versions, ranks, and dtypes or quantized_dtypes", id="too-broad"
        ),
        pytest.param("float32", "float23", "ops.Relu.rules.0.dtypes.0", id="dtype"),
        pytest.param('"runs"', '"works"', "ops.Relu.rules.0.verdict", id="verdict"),
        pytest.param('"runs"', '"wrong", fix = ""', "must say what to do instead", id="empty-fix"),
        pytest.param("cases = 3", 'cases = 3, devices = ["c"]', "no device 'c'", id="device"),
        pytest.param("cases = 3,", "", "'ops.Relu.rules.0.cases' is missing", id="no-evidence"),
        pytest.param("cases = 3", "cases = -3", "cases", id="cases"),
        pytest.param(
            "ranks = [4]",
            'ranks = [4], breaks = ["axis_is_last"]',
            "only a refusal has 'breaks'",
            id="breaks",
        ),
        pytest.param(
            "Relu]\nrules = [{", '"*"]\nrules = [{ id = "all",', "holds for every", id="accepts-everything"
        ),
        pytest.param("verdict", 'id = "Re Lu", verdict', "id: String should match", id="id"),
        pytest.param("rules = [{", "rules = [] # {", "ops.Relu.rules: ", id="no-rules"),
    ],
)
def test_mistakes_are_answered(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        table(tmp_path, RELU.replace(old, new))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rules_have_names_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="two rules are called 'relu'"):
        table(tmp_path, RELU + RELU.replace("Relu", "RELU").replace("verdict", 'id = "relu", verdict'))


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
        pytest.param(Range(min=0.01, max=0.2), float(np.float32(0.01)), True, id="float32-end"),
        pytest.param((0.0,), 1e-6, False, id="small-is-not-zero"),
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
    accepted = {rule.op for rule in htp.rules if rule.accepts}
    assert accepted >= {
        "Add", "ArgMax", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Conv",
        "ConvTranspose", "DepthToSpace", "GlobalAveragePool", "HardSigmoid", "HardSwish", "MatMul",
        "MaxPool", "Mul", "Pad", "Relu", "Reshape", "Resize", "Sigmoid", "Slice", "Softmax", "Split",
        "Transpose",
    }  # fmt: skip


def test_qnn_htp_knows_what_is_silently_wrong(htp: OpTable) -> None:
    wrong = {rule.op for rule in htp.rules if rule.verdict == "wrong"}
    assert wrong >= {"AveragePool", "Cast", "MatMul", "Pad", "Resize", "Log"}


TABLES = sorted(path.stem for path in (spec_root() / "targets" / "ops").glob("*.toml"))
DOCUMENTED = ("edgetpu",)
"""Tables of compilers that are not to be had."""


@pytest.mark.parametrize("name", TABLES)
def test_tables_speak_of_the_operators_of_segmentation_networks(name: str) -> None:
    assert len(load_table(name).ops) >= 110


@pytest.mark.parametrize("name", TABLES)
def test_tables_name_only_operators_versions_and_attributes_that_exist(name: str) -> None:
    everything = defaultdict(list)
    for schema in onnx.defs.get_all_schemas_with_history():
        everything[schema.domain, schema.name].append(schema)
    for rule in load_table(name).rules:
        if rule.op == "*" or rule.domain:
            continue
        schemas = everything["", rule.op]
        assert schemas, rule.op
        assert set(rule.versions) <= {schema.since_version for schema in schemas}, rule.id
        known = {name for schema in schemas for name in schema.attributes}
        assert set(rule.attributes) <= known, rule.id


@pytest.mark.parametrize("name", sorted({*TABLES} - {*DOCUMENTED}))
def test_rules_rest_on_trials(name: str) -> None:
    assert all(rule.evidence.cases > 0 for rule in load_table(name).rules)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_rules_that_nothing_could_be_tried_for_cite_their_source(name: str) -> None:
    assert all(rule.evidence.source for rule in load_table(name).rules)


def test_every_constraint_is_used() -> None:
    rules = [rule for name in TABLES for rule in load_table(name).rules]
    assert {name for rule in rules for name in (*rule.constraints, *rule.breaks)} == set(CONSTRAINTS)


def test_a_table_says_what_floats_become_and_what_may_fall_back(tmp_path: Path) -> None:
    found = table(tmp_path, RELU)
    assert [found.made_of("float"), found.made_of("w8a8"), found.made_of("w8a16")] == ["", "uint8", "uint16"]
    assert not found.may_fall_back("ArgMax")
    head = HEAD.replace("fallback = false", 'fallback = ["ArgMax"]\nintegers = { w8a8 = "int8" }')
    path = tmp_path / "other.toml"
    path.write_text(head + RELU, encoding="utf-8")
    other = read_table(path)
    assert other.made_of("w8a8") == "int8"
    assert [other.may_fall_back(op) for op in ("ArgMax", "Cast")] == [True, False]
