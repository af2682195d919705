from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from mosaic_deploy.errors import SpecError
from mosaic_deploy.gate.op_support.constraints import CONSTRAINTS
from mosaic_deploy.gate.op_support.load import load_table
from mosaic_deploy.gate.op_support.pages import describe_target, overview, page, pages
from mosaic_deploy.specs.registry import load_spec, spec_names
from mosaic_deploy.specs.target import TargetSpec
from tests.gate.gate_models import rule, subject

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "reference" / "op-tables"


def test_the_op_table_pages_are_current() -> None:
    made = pages(FOLDER)
    assert set(made) == set(FOLDER.glob("*.md"))
    old = [path.name for path, text in made.items() if path.read_text(encoding="utf-8") != text]
    assert not old, "run: uv run python docs/generate_op_tables.py"


def test_the_program_knows_the_same_folder() -> None:
    module = runpy.run_path(str(FOLDER.parent.parent / "generate_op_tables.py"))
    assert module["FOLDER"] == FOLDER


def test_a_page_names_every_operator_and_constraint_sentence() -> None:
    table = load_table("qnn-htp")
    text = page(table)
    assert [op for op in table.ops if f"| {op} |" not in text] == []
    used = {name for rule in table.rules for name in (*rule.constraints, *rule.breaks)}
    assert [name for name in used if CONSTRAINTS[name].sentence not in text] == []


def test_a_new_rule_changes_the_page() -> None:
    before, after = subject(rule("Relu")).table, subject(rule("Relu"), rule("Erf", "wrong")).table
    assert before is not None
    assert after is not None
    assert "| Erf | runs with a wrong result |" in page(after)
    assert page(before) != page(after)


def test_texts_do_not_break_the_table() -> None:
    made = subject(rule("Erf", "wrong", fix="a|b <i> [x](y) *z*")).table
    assert made is not None
    row = next(line for line in page(made).splitlines() if line.startswith("| Erf"))
    assert row.endswith("| 1 | a\\|b &lt;i> &#91;x&#93;(y) \\*z\\* |")


@pytest.mark.parametrize("markdown", [pytest.param(True, id="markdown"), pytest.param(False, id="text")])
def test_the_overview_has_a_row_per_target(markdown: bool) -> None:
    rows = [row.replace("|", " ").split() for row in overview(markdown=markdown).splitlines()]
    for name in spec_names(TargetSpec):
        target = load_spec(TargetSpec, name)
        assert target.ops is not None
        count = str(len(load_table(target.ops).ops))
        assert [name, *", ".join(target.recipes).split(), target.ops, count, *target.summary.split()] in rows


@pytest.mark.parametrize("name", spec_names(TargetSpec))
def test_a_target_is_described_by_its_table(name: str) -> None:
    target = load_spec(TargetSpec, name)
    assert target.ops is not None
    text = describe_target(name, markdown=False).splitlines()
    rows = describe_target(name, markdown=True).splitlines()
    assert text[0] == f"{name}: {target.summary}"
    assert len(text) < 60
    assert max(map(len, text[2:])) <= 100
    assert f"# {target.ops}" in rows
    after = text[next(i for i, line in enumerate(text) if line.endswith(" operators:")) :]
    listed = {op.strip(" ,") for line in after if line.startswith("  ") for op in line.split(", ")}
    table = load_table(target.ops)
    assert listed == set(table.ops)
    for op in {f"{one.domain}.{one.op}".lstrip(".").replace("*", "every operator") for one in table.rules}:
        assert [row for row in rows if row.startswith(f"| {op} |")]


def test_the_rules_of_one_operator() -> None:
    table = load_table("qnn-htp")
    text = describe_target("dsp", markdown=False, ops=("resize",)).splitlines()
    assert len([line for line in text if line.startswith("Resize ")]) == sum(
        rule.op == "Resize" for rule in table.rules
    )
    assert not [line for line in text if line.startswith("Conv ")]
    everything = describe_target("dsp", markdown=False, ops=("*",))
    assert "every operator " in everything
    with pytest.raises(SpecError, match=r"nothing is known of 'Resiz' .did you mean 'Resize'"):
        describe_target("dsp", markdown=False, ops=("Resiz",))
