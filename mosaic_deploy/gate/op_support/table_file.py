"""The file of an op table: rules by operator, each a line, with what they share said once above them.

    [ops.Abs]
    versions = [6, 13]
    rules = [
      { verdict = "runs", cases = 34, dtypes = ["float32"], ranks = [1, 2, 3, 4] },
      { form = "integers", verdict = "falls-back", cases = 12, dtypes = ["int64"] },
    ]

What stands above the rules holds for those that do not say it themselves: ``versions``, types and ranks for
rules that run, as a refusal holds for whatever it does not name; ``error`` and ``source`` for refusals. A
rule's id and its advice are derived where they are not stated.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from mosaic_deploy.gate.op_support.advice import advice
from mosaic_deploy.gate.op_support.rule_ids import rule_id
from mosaic_deploy.gate.op_support.tables import (
    ConstraintName,
    Limit,
    OpRule,
    OpTable,
    Outcome,
    TableHead,
)
from mosaic_deploy.specs.fields import Spec
from mosaic_deploy.specs.precision import DType, Integers
from mosaic_deploy.specs.toml import checked, parse_toml, read_text

OF_RUNS = ("versions", "dtypes", "quantized_dtypes", "ranks")
"""Keys above the rules that hold for those that run."""
OF_REFUSALS = ("error", "source")
"""Keys above the rules that hold for refusals."""
_DERIVED = "\0"
EVIDENCE = ("cases", "devices", "error", "source")
"""Keys of a rule's line that make its ``Evidence``."""


class RuleLine(Spec):
    """A rule as a line of the file; fields as ``OpRule`` and ``Evidence`` have them."""

    id: str | None = None
    form: str = ""
    """The way to use the operator, for a derived id."""
    verdict: Outcome
    cases: int
    devices: tuple[str, ...] = ()
    versions: tuple[int, ...] | None = None
    dtypes: tuple[DType, ...] | None = None
    quantized_dtypes: tuple[Integers, ...] | None = None
    weights: tuple[Integers, ...] = ()
    ranks: tuple[int, ...] | None = None
    attributes: dict[str, Limit] = Field(default_factory=dict)
    constraints: tuple[ConstraintName, ...] = ()
    breaks: tuple[ConstraintName, ...] = ()
    error: str | None = None
    source: str | None = None
    fix: str | None = None


class Operator(Spec):
    """One operator's rules, and what they share."""

    versions: tuple[int, ...] = ()
    dtypes: tuple[DType, ...] = ()
    quantized_dtypes: tuple[Integers, ...] = ()
    ranks: tuple[int, ...] = ()
    error: str = ""
    source: str = ""
    rules: Annotated[tuple[RuleLine, ...], Field(min_length=1)]


class TableFile(TableHead):
    """The whole file."""

    ops: dict[str, Operator] = Field(default_factory=dict)
    """By the operator's type, with its domain where that is not ONNX's own; ``*`` is every operator."""


def read_table(path: Path) -> OpTable:
    """Read an op table's file.

    Raises ``SpecError``, one line that begins with the path, for a file that cannot be read or is no TOML,
    an unknown key (with the nearest), and a value outside its range.
    """
    return parse_table(read_text(path), path)


def parse_table(text: str, path: Path) -> OpTable:
    """As ``read_table``, of the text of the file at ``path``."""
    raw = parse_toml(text, path)
    file = checked(TableFile, raw, path)
    head = {name: value for name, value in raw.items() if name != "ops"}
    table = checked(OpTable, {**head, "rule": _rules(file)}, path)
    running = [rule for rule in table.rules if rule.accepts]
    rules = tuple(_advised(rule, running) for rule in table.rules)
    return table.model_copy(update={"rules": rules})


def _rules(file: TableFile) -> list[dict[str, Any]]:
    """Every rule with the fields of ``OpRule``; advice that is to be derived is left open."""
    used: set[str] = set()
    found = []
    for title, operator in file.ops.items():
        domain, _, op = title.rpartition(".")
        for line in operator.rules:
            name = line.id or rule_id(op, line.form, line.verdict, used=used)
            used.add(name)
            found.append({"id": name, "op": op, "domain": domain, **_fields(line, operator)})
    return found


def _fields(line: RuleLine, operator: Operator) -> dict[str, Any]:
    runs = line.verdict == "runs"
    said = line.model_dump(exclude_none=True, exclude={"id", "form"})
    whole = {name: getattr(operator, name) for name in (OF_RUNS if runs else OF_REFUSALS)} | said
    evidence = {name: whole.pop(name) for name in EVIDENCE if name in whole}
    return {"fix": "" if runs else _DERIVED, **whole, "evidence": evidence}


def _advised(rule: OpRule, running: Sequence[OpRule]) -> OpRule:
    if rule.fix != _DERIVED:
        return rule
    return rule.model_copy(update={"fix": advice(rule, running)})
