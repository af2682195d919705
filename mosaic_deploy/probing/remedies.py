"""Which passes do away with what a rule refuses, tried on the cases that it refuses."""

from __future__ import annotations

from collections.abc import Iterable

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.errors import ModelError
from mosaic_deploy.gate.fix.fix import fix, fixable
from mosaic_deploy.gate.op_support.judge import check
from mosaic_deploy.gate.op_support.tables import OpRule, OpTable

_TRIED = 3
"""Cases of one rule that are fixed; they differ in what the rule leaves open."""


def remedy(rule: OpRule, cases: Iterable[Case], table: OpTable) -> str:
    """Advice that names the passes with which ``check --fix`` cures what a rule refuses.

    Args:
        rule: a refusal of the table's.
        cases: of its operator.
        table: it judges the fixed models too: they must pass, and no node may stay unknown.

    Returns:
        Empty where there is no such case, or not all are cured, or not without loss.
    """
    if not fixable(rule.op):
        return ""
    refused = [case for case in cases if _decides(rule, case, table)]
    found: dict[str, None] = {}
    for case in refused[:: max(1, len(refused) // _TRIED)][:_TRIED]:
        try:
            _, report = fix(case.model, table=table, precision=case.precision)
        except ModelError:
            return ""
        if not report.steps or not report.exact or report.after.violations:
            return ""
        found.update(dict.fromkeys(step.name for step in report.steps))
    names = list(found)
    return f"`check --fix` rewrites it: {_named(names)}" if names else ""


def _decides(rule: OpRule, case: Case, table: OpTable) -> bool:
    report = check(case.model, table=table, precision=case.precision)
    return any(violation.rule == rule.id for violation in report.violations)


def _named(names: list[str]) -> str:
    return f"pass {names[0]}" if len(names) == 1 else f"passes {', '.join(names[:-1])} and {names[-1]}"
