"""What is kept of a table's cases reads back, and the tables hold against what is kept of them."""

from __future__ import annotations

import lzma
from dataclasses import replace
from pathlib import Path

import pytest

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.backends.oracle.outcome import CaseOutcome
from mosaic_deploy.backends.oracle.registry import load_compiler
from mosaic_deploy.errors import MosaicError, SpecError, ToolError, UsageError
from mosaic_deploy.gate.op_support.load import load_table
from mosaic_deploy.probing.agreement import WRONG, classify
from mosaic_deploy.probing.evidence import (
    SUFFIX,
    Evidence,
    evidence_path,
    read_evidence,
    resting,
    with_new,
    write_evidence,
)
from mosaic_deploy.probing.forms import FORMS
from mosaic_deploy.probing.grid import grid_cases
from mosaic_deploy.specs.root import spec_root

CASES = [case for form in FORMS["Relu"] for case in grid_cases(form, ("float",))]
KEPT = sorted(path.name.removesuffix(SUFFIX) for path in (spec_root() / "targets" / "ops").glob(f"*{SUFFIX}"))
EVERYDAY = ("Relu", "Sigmoid", "Clip", "Concat", "ArgMax")


def outcomes(case: Case) -> tuple[CaseOutcome, ...]:
    return (
        CaseOutcome(case.name, "old", "wrong", "off by «1»", 0.5),
        CaseOutcome(case.name, "new", "runs", "", None),
    )


def made(cases: list[Case], version: str = "1", before: Evidence | None = None) -> Evidence:
    return with_new(before, [(case, outcomes(case)) for case in cases], table="t", version=version)


def test_what_is_written_is_read_and_the_same_is_the_same_bytes(tmp_path: Path) -> None:
    first, again = tmp_path / "a", tmp_path / "b"
    write_evidence(first, made(CASES))
    write_evidence(again, made(CASES[::-1]))
    assert read_evidence(first) == made(CASES)
    assert first.read_bytes() == again.read_bytes()


def test_differences_are_kept_to_two_digits(tmp_path: Path) -> None:
    (name, (number, (first, second))), *_ = made(CASES).outcomes.items()
    fine = Evidence("t", "1", {name: (number, (replace(first, difference=0.0123456), second))})
    write_evidence(tmp_path / "a", fine)
    assert read_evidence(tmp_path / "a").outcomes[name][1][0].difference == 0.012


def test_a_case_that_changed_since_is_unknown() -> None:
    case, other = CASES[:2]
    kept = made(CASES)
    assert kept.known(case) == outcomes(case)
    assert kept.known(replace(case, model=other.model)) == ()
    assert kept.known(replace(case, name="new")) == ()


def test_evidence_is_of_one_version_of_the_tool() -> None:
    some = made(CASES[:2])
    assert len(made(CASES[2:4], before=some).outcomes) == 4
    assert len(made(CASES[2:4], version="2", before=some).outcomes) == 2


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        pytest.param(b"no xz", SpecError, id="no-xz"),
        pytest.param(lzma.compress(b"{}"), SpecError, id="no-head"),
        pytest.param(lzma.compress(b'{"schema": 9}'), SpecError, id="schema"),
        pytest.param(
            lzma.compress(b'{"schema":1,"table":"t","version":"1","errors":[]}\n["a",1,[["d","runs",7,0]]]'),
            SpecError,
            id="no-such-error",
        ),
        pytest.param(lzma.compress(b"\0" * (65 << 20)), SpecError, id="a-bomb"),
        pytest.param(None, UsageError, id="missing"),
    ],
)
def test_what_is_no_evidence_is_refused(tmp_path: Path, data: bytes | None, kind: type[MosaicError]) -> None:
    path = tmp_path / "x.evidence.jsonl.xz"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(kind, match=r"x\.evidence\.jsonl\.xz: ") as caught:
        read_evidence(path)
    assert "\n" not in str(caught.value)


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="cannot be written"):
        write_evidence(tmp_path / "no" / "x", made(CASES[:1]))


def kept_cases(name: str, ops: tuple[str, ...]) -> list[Case]:
    precisions = load_compiler(name).PRECISIONS
    forms = [form for op in ops for form in FORMS[op]]
    return [case for form in forms for case in grid_cases(form, precisions)]


def disagreements(name: str, ops: tuple[str, ...]) -> tuple[int, list[str]]:
    """How many cases are kept, and which of them the table judges otherwise than they came out."""
    table, kept = load_table(name), read_evidence(evidence_path(name))
    known = [(case, found) for case in kept_cases(name, ops) if (found := kept.known(case))]
    assert kept.version == table.version
    return len(known), [case.name for case, found in known if classify(case, found, table).kind in WRONG]


@pytest.mark.parametrize("name", KEPT)
def test_tables_hold_against_what_is_kept(name: str) -> None:
    count, wrong = disagreements(name, EVERYDAY)
    assert count > 30
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("name", KEPT)
def test_tables_hold_against_all_that_is_kept(name: str) -> None:
    count, wrong = disagreements(name, tuple(FORMS))
    assert wrong == []
    assert count == len(read_evidence(evidence_path(name)).outcomes)


def test_a_table_that_lies_is_found() -> None:
    table, kept = load_table("ort-mobile"), read_evidence(evidence_path("ort-mobile"))
    relu = [rule for rule in table.rules if rule.op == "Relu"]
    lies = [rule.model_copy(update={"verdict": "wrong", "fix": "no"}) for rule in relu]
    lying = table.model_copy(update={"rules": tuple(lies)})
    cases = kept_cases("ort-mobile", ("Relu",))
    kinds = {classify(case, found, lying).kind for case in cases if (found := kept.known(case))}
    assert kinds == {"false reject"}


def test_a_rule_rests_on_what_it_decides() -> None:
    table = load_table("ort-mobile")
    (rule,) = (rule for rule in table.rules if rule.id == "abs")
    cases = kept_cases("ort-mobile", ("Abs", "Relu"))
    own = resting(rule, cases, table)
    assert {case.op for case in own} == {"Abs"}
    assert 10 < len(own) <= len(cases)
    narrow = rule.model_copy(update={"ranks": (5,)})
    assert {case.name for case in resting(narrow, cases, table)} < {case.name for case in own}


def test_evidence_stays_small() -> None:
    folder = spec_root() / "targets" / "ops"
    assert sum(path.stat().st_size for path in folder.glob(f"*{SUFFIX}")) < 1 << 20
