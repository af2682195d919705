"""A table's text reads back as the same table."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaic_deploy.gate.op_support.constraints import CONSTRAINTS
from mosaic_deploy.gate.op_support.tables import OpTable, load_table
from mosaic_deploy.probing.table_text import in_order, table_text
from mosaic_deploy.specs.precision import DType, Integers
from mosaic_deploy.specs.root import spec_root
from mosaic_deploy.specs.toml import read_toml

HEAD: dict[str, Any] = {
    "schema": 1, "name": "pretend", "summary": "a compiler", "tool": "pretend", "version": "2",
    "devices": ["a", "b"], "fallback": False, "folds_constants": True,
}  # fmt: skip

FUSION = {"op": "Relu", "after": ["Conv", "Add"], "grids": ["int8"], "evidence": {"cases": 4}}


def made(*rules: dict[str, Any], **fields: Any) -> OpTable:
    return OpTable.model_validate({**HEAD, **fields, "rule": rules})


def refusal(name: str, op: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "op": op, "verdict": "wrong", "evidence": {"cases": 1}, "fix": "do not", **fields}


def back(text: str, folder: Path) -> OpTable:
    path = folder / "pretend.toml"
    path.write_text(text, encoding="utf-8")
    return read_toml(OpTable, path)


def test_the_text_has_the_style_of_the_tables() -> None:
    conv = {
        "id": "conv", "op": "Conv", "versions": [1, 11], "dtypes": ["float32"], "grids": ["uint8"],
        "ranks": [4],
        "attributes": {"kernel_shape": {"min": 1, "max": 7}, "auto_pad": ["NOTSET"], "group": "any"},
        "constraints": ["parameters_are_constant"], "verdict": "runs",
        "evidence": {"cases": 12, "devices": ["a"]},
    }  # fmt: skip
    table = made(refusal("tan", "Tan"), conv, refusal("all", "*", breaks=["shapes_are_static"]))
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

[[rule]]
id = "all"
op = "*"
breaks = ["shapes_are_static"]
verdict = "wrong"
evidence = { cases = 1 }
fix = "do not"

[[rule]]
id = "conv"
op = "Conv"
versions = [1, 11]
dtypes = ["float32"]
grids = ["uint8"]
ranks = [4]
attributes = { kernel_shape = { min = 1, max = 7 }, auto_pad = ["NOTSET"], group = "any" }
constraints = ["parameters_are_constant"]
verdict = "runs"
evidence = { cases = 12, devices = ["a"] }

[[rule]]
id = "tan"
op = "Tan"
verdict = "wrong"
evidence = { cases = 1 }
fix = "do not"
"""
    )


def test_long_inline_tables_become_lines(tmp_path: Path) -> None:
    names = [f"attribute_number_{i}" for i in range(6)]
    table = made(refusal("x", "X", attributes={name: [1, 2, 3] for name in names}))
    text = table_text(table, before="")
    assert "attributes.attribute_number_3 = [1, 2, 3]" in text.splitlines()
    assert max(map(len, text.splitlines())) <= 110
    assert back(text, tmp_path) == table


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
    text = table_text(table, before=before)
    assert text.splitlines()[0] == before.splitlines()[0]
    assert back(text, tmp_path) == table.model_copy(update={"rules": in_order(table.rules)})
    assert table_text(back(text, tmp_path), before=text) == text


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
                "grids": draw(st.lists(st.sampled_from(get_args(Integers)), max_size=2)),
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
