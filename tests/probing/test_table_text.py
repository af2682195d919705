"""A table's text reads back as the same table."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaic_deploy.gate.op_support.constraints import CONSTRAINTS
from mosaic_deploy.gate.op_support.load import load_table
from mosaic_deploy.gate.op_support.table_file import read_table
from mosaic_deploy.gate.op_support.tables import OpTable
from mosaic_deploy.probing.table_text import in_order, table_text
from mosaic_deploy.specs.precision import DType, Integers
from mosaic_deploy.specs.root import spec_root

HEAD: dict[str, Any] = {
    "schema": 1, "name": "pretend", "summary": "a compiler", "tool": "pretend", "version": "2",
    "devices": ["a", "b"], "fallback": False, "folds_constants": True,
}  # fmt: skip

FUSION = {"op": "Relu", "after": ["Conv", "Add"], "quantized_dtypes": ["int8"], "evidence": {"cases": 4}}


def made(*rules: dict[str, Any], **fields: Any) -> OpTable:
    return OpTable.model_validate({**HEAD, **fields, "rule": rules})


def refusal(name: str, op: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "op": op, "verdict": "wrong", "evidence": {"cases": 1}, "fix": "do not", **fields}


def back(text: str, folder: Path) -> OpTable:
    path = folder / "pretend.toml"
    path.write_text(text, encoding="utf-8")
    return read_table(path)


def test_the_text_has_the_style_of_the_tables() -> None:
    runs = {"op": "Conv", "versions": [1, 11], "dtypes": ["float32"], "ranks": [4], "verdict": "runs"}
    limits = {"kernel_shape": {"min": 1, "max": 7}, "group": "any"}
    conv = {**runs, "id": "conv", "attributes": limits, "evidence": {"cases": 12}}
    evidence = {"cases": 3, "devices": ["a"]}
    deep = {**runs, "id": "conv-deep", "constraints": ["axis_is_last"], "evidence": evidence}
    flat = {"id": "conv-deep-wrong", "op": "Conv", "dtypes": ["float32"], "ranks": [5], "verdict": "wrong",
            "evidence": {"cases": 2}, "fix": "Reshape it to rank 4"}  # fmt: skip
    table = made(
        refusal("tan-wrong", "Tan"), conv, deep, flat, refusal("all", "*", breaks=["shapes_are_static"])
    )
    before = "# What it does.\n#\n# Tried.\nschema = 1\n# not this one\n"
    assert table_text(table, before=before) == (
        """# What it does.
#
# Tried.
schema = 1
name = "pretend"
summary = "a compiler"
tool = "pretend"
version = "2"
devices = ["a", "b"]
fallback = false
folds_constants = true

[ops."*"]
rules = [{ id = "all", verdict = "wrong", cases = 1, breaks = ["shapes_are_static"], fix = "do not" }]

[ops.Conv]
versions = [1, 11]
dtypes = ["float32"]
ranks = [4]
rules = [
  { verdict = "runs", cases = 12, attributes = { kernel_shape = { min = 1, max = 7 }, group = "any" } },
  { form = "deep", verdict = "runs", cases = 3, constraints = ["axis_is_last"], devices = ["a"] },
  { form = "deep", verdict = "wrong", cases = 2, dtypes = ["float32"], ranks = [5] },
]

[ops.Tan]
rules = [{ verdict = "wrong", cases = 1, fix = "do not" }]
"""
    )


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"integers": {"w8a8": "int8", "w8a16": "int16"}}, id="integers"),
        pytest.param({"fallback": ["Resize", "Cast"]}, id="fallback"),
        pytest.param({"fallback": True, "folds_input_cast": "always"}, id="flags"),
        pytest.param({"fusion": [FUSION, {**FUSION, "constraints": ["inputs_are_two"]}]}, id="fusions"),
        pytest.param({}, id="no-rules"),
    ],
)
def test_every_field_comes_along(fields: dict[str, Any], tmp_path: Path) -> None:
    table = made(**fields)
    assert back(table_text(table, before=""), tmp_path) == table


@pytest.mark.parametrize("name", sorted(p.stem for p in (spec_root() / "targets" / "ops").glob("*.toml")))
def test_shipped_tables_survive(name: str, tmp_path: Path) -> None:
    before = (spec_root() / "targets" / "ops" / f"{name}.toml").read_text(encoding="utf-8")
    table = load_table(name)
    assert table_text(table, before=before) == before
    assert back(before, tmp_path) == table


def test_ids_that_do_not_follow_are_stated(tmp_path: Path) -> None:
    table = made(
        refusal("x-wrong-2", "X"), refusal("x-wrong", "X"), refusal("x-wrong-3", "X"), refusal("y", "Y")
    )
    text = table_text(table, before="")
    assert [line.count("id = ") for line in text.splitlines() if "verdict" in line] == [1, 0, 0, 1]
    assert [rule.id for rule in back(text, tmp_path).rules] == ["x-wrong-2", "x-wrong", "x-wrong-3", "y"]


def test_what_an_operator_says_for_its_rules_can_be_taken_back(tmp_path: Path) -> None:
    runs = {"op": "X", "versions": [1], "ranks": [4], "verdict": "runs", "evidence": {"cases": 1}}
    floats = [{**runs, "id": f"x{n}", "dtypes": ["float32"]} for n in ("", "-2")]
    table = made(*floats, {**runs, "id": "x-3", "quantized_dtypes": ["uint8"]})
    text = table_text(table, before="")
    assert 'dtypes = ["float32"]' in text.splitlines()
    assert "dtypes = [], quantized_dtypes" in text
    assert back(text, tmp_path) == table


def test_advice_that_does_not_follow_is_stated(tmp_path: Path) -> None:
    runs = {"id": "x", "op": "X", "versions": [1], "dtypes": ["float32"], "ranks": [4], "verdict": "runs",
            "evidence": {"cases": 1}}  # fmt: skip
    refused = [
        refusal(f"x-wrong{n}", "X", ranks=[5], fix=fix)
        for n, fix in (("", "Reshape it to rank 4"), ("-2", "no"))
    ]
    table = made(runs, *refused)
    text = table_text(table, before="")
    assert [line.count("fix = ") for line in text.splitlines() if '"wrong"' in line] == [0, 1]
    assert back(text, tmp_path) == table


_TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
_NUMBER = st.integers(-(2**40), 2**40) | st.floats(allow_nan=False)
_LIMIT = st.one_of(
    st.just("any"),
    st.lists(_NUMBER | _TEXT, max_size=4),
    st.fixed_dictionaries({}, optional={"min": st.floats(allow_nan=False), "max": st.floats(-9, 9)}),
)


@st.composite
def _tables(draw: st.DrawFn) -> OpTable:
    rules = []
    for i in range(draw(st.integers(0, 3))):
        accepts = draw(st.booleans())
        op = draw(st.sampled_from(["Conv", "Relu", "Add"] if accepts else ["Conv", "*", "Zip"]))
        kinds = st.lists(st.sampled_from(get_args(DType)), min_size=int(accepts), max_size=3, unique=True)
        numbers = st.lists(st.integers(0, 30), min_size=int(accepts), max_size=4)
        some = st.lists(st.sampled_from(sorted(CONSTRAINTS)), max_size=2)
        devices = draw(st.sampled_from([[], ["a"], ["b"], ["a", "b"]]))
        evidence = {"cases": draw(st.integers(0, 99)), "devices": devices, "error": draw(_TEXT)}
        rules.append(
            {
                "id": f"rule-{i}",
                "op": op,
                "domain": draw(st.sampled_from(["", "com.microsoft"])),
                "versions": draw(numbers),
                "dtypes": draw(kinds),
                "quantized_dtypes": draw(st.lists(st.sampled_from(get_args(Integers)), max_size=2)),
                "ranks": draw(numbers),
                "attributes": draw(st.dictionaries(_TEXT, _LIMIT, max_size=3)),
                "constraints": draw(some),
                "breaks": [] if accepts else draw(some),
                "verdict": "runs" if accepts else draw(st.sampled_from(["wrong", "falls-back"])),
                "evidence": evidence,
                "fix": "" if accepts else draw(_TEXT) + "!",
            }
        )
    return made(*rules, summary=draw(_TEXT), fallback=draw(st.booleans() | st.lists(_TEXT, max_size=2)))


@settings(max_examples=60, deadline=None)
@given(_tables())
def test_any_table_reads_back_as_itself(table: OpTable) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = back(table_text(table, before=""), Path(folder))
    assert found == table.model_copy(update={"rules": in_order(table.rules)})
