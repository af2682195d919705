"""Advice that names passes is true: they cure the cases that the rule refuses."""

from __future__ import annotations

import pytest

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.gate.op_support.load import load_table
from mosaic_deploy.gate.op_support.tables import OpRule, OpTable
from mosaic_deploy.probing.forms import FORMS
from mosaic_deploy.probing.grid import grid_cases
from mosaic_deploy.probing.remedies import remedy


def cases(op: str) -> list[Case]:
    return [case for form in FORMS[op] for case in grid_cases(form, ("float", "w8a8"))]


def rule_of(table: OpTable, op: str, *, named: bool) -> OpRule:
    """The first refusal of an operator that names passes, or does not."""
    refusals = (rule for rule in table.rules if rule.op == op and not rule.accepts)
    return next(rule for rule in refusals if ("check --fix" in rule.fix) is named)


@pytest.mark.parametrize(
    ("name", "op"),
    [
        pytest.param("litert-xnnpack", "Swish", id="activation"),
        pytest.param("litert-gpu", "AveragePool", id="pool"),
        pytest.param("qnn-htp", "LpNormalization", id="norm"),
        pytest.param("edgetpu", "AveragePool", id="documented"),
    ],
)
def test_named_passes_cure_what_the_rule_refuses(name: str, op: str) -> None:
    table = load_table(name)
    rule = rule_of(table, op, named=True)
    assert remedy(rule, cases(op), table) == rule.fix


def test_what_passes_do_not_cure_is_no_remedy() -> None:
    table = load_table("litert-gpu")
    rule = rule_of(table, "GridSample", named=False)
    assert remedy(rule, cases("GridSample"), table) == ""


def test_a_pass_into_what_the_table_refuses_too_is_no_remedy() -> None:
    table = load_table("litert-xnnpack")
    rule = rule_of(table, "Swish", named=True)
    without = table.model_copy(update={"rules": tuple(r for r in table.rules if r.op != "Mul")})
    assert remedy(rule, cases("Swish"), without) == ""


def test_without_cases_there_is_no_remedy() -> None:
    table = load_table("litert-xnnpack")
    assert remedy(rule_of(table, "Swish", named=True), (), table) == ""
