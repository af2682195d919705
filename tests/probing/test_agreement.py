from __future__ import annotations

from dataclasses import replace

import pytest

from mosaic_deploy.backends.oracle.case import Case, Sort
from mosaic_deploy.backends.oracle.outcome import CaseOutcome, Found
from mosaic_deploy.gate.op_support.tables import OpTable
from mosaic_deploy.probing.agreement import Agreement, Classified, Kind, classify, markdown
from mosaic_deploy.probing.sketch import Sketch
from mosaic_deploy.specs.precision import Precision

WHOLE = {"versions": [6, 13, 14], "dtypes": ["float32"], "ranks": [2], "evidence": {"cases": 1}}


def rule(
    id_: str, op: str, verdict: str, devices: tuple[str, ...] = (), **fields: object
) -> dict[str, object]:
    whole = WHOLE if verdict == "runs" else {"fix": "leave it out"}
    return {**whole, "id": id_, "op": op, "verdict": verdict, **fields} | {
        "evidence": {"cases": 1, "devices": devices}
    }


def table(*rules: dict[str, object], **fields: object) -> OpTable:
    head = {
        "schema": 1,
        "name": "fake",
        "summary": "s",
        "tool": "fake",
        "version": "1",
        "devices": ["old", "new"],
        "fallback": False,
        "folds_constants": True,
    }
    return OpTable.model_validate({**head, **fields, "rule": list(rules)})


def case(*ops: str, precision: Precision = "float") -> Case:
    sketch = Sketch(opset=18, dtype="float32", rank=2, seed=0, random=False, values={})
    for number, op in enumerate(ops):
        if number:
            sketch.chain({})
        sketch.node(op, [sketch.data()])
    sort: Sort = "grid" if len(ops) == 1 else "chain"
    return Case(
        "+".join(ops), "+".join(ops), "plain", sort, sketch.model(), sketch.feeds, precision
    )  # fmt: skip


def outcomes(old: Found, new: Found) -> tuple[CaseOutcome, ...]:
    return (
        CaseOutcome("c", "old", old, "why" * (old != "runs")),
        CaseOutcome("c", "new", new, "why" * (new != "runs")),
    )


RUNS = rule("relu", "Relu", "runs")
RUNS_NEW = rule("relu-new", "Relu", "runs", ("new",))
WRONG = rule("relu-wrong", "Relu", "wrong")
FAILS_OLD = rule("relu-old", "Relu", "fails-to-compile", ("old",))
FALLS = rule("relu-falls", "Relu", "falls-back")
OPEN = rule("relu-open", "Relu", "undocumented")


@pytest.mark.parametrize(
    ("rules", "found", "kind", "devices", "ids"),
    [
        pytest.param([RUNS], ("runs", "runs"), "agrees", "both", ("relu",), id="runs"),
        pytest.param([RUNS], ("runs", "wrong"), "false accept", "new", ("relu",), id="wrong"),
        pytest.param([RUNS], ("falls-back",) * 2, "false accept", "both", ("relu",), id="falls-back"),
        pytest.param([RUNS], ("fails-to-compile",) * 2, "false accept", "both", ("relu",), id="fails"),
        pytest.param([WRONG], ("runs", "runs"), "false reject", "both", ("relu-wrong",), id="reject"),
        pytest.param([WRONG], ("runs", "wrong"), "false reject", "old", ("relu-wrong",), id="reject-one"),
        pytest.param([WRONG], ("wrong", "wrong"), "agrees", "both", ("relu-wrong",), id="refused"),
        pytest.param([WRONG], ("fails-to-compile",) * 2, "agrees", "both", ("relu-wrong",), id="verdict"),
        pytest.param([FALLS], ("falls-back",) * 2, "agrees", "both", ("relu-falls",), id="fallback"),
        pytest.param([FALLS], ("runs",) * 2, "false reject", "both", ("relu-falls",), id="no-fallback"),
        pytest.param([FAILS_OLD, RUNS], ("fails-to-compile", "runs"), "agrees", "both", None, id="two"),
        pytest.param([FAILS_OLD, RUNS], ("fails-to-compile", "wrong"), "false accept", "new", None, id="2a"),
        pytest.param([FAILS_OLD, RUNS], ("runs", "runs"), "false reject", "old", ("relu-old",), id="two-b"),
        pytest.param([FAILS_OLD, RUNS], ("runs", "wrong"), "false accept", "new", None, id="two-c"),
        pytest.param([], ("wrong", "runs"), "unknown", "both", (), id="no-rule"),
        pytest.param([OPEN], ("wrong", "runs"), "unknown", "both", ("relu-open",), id="undocumented"),
        pytest.param([RUNS_NEW], ("wrong", "runs"), "unknown", "old", ("relu-new",), id="untried"),
        pytest.param([RUNS_NEW], ("wrong", "wrong"), "false accept", "new", None, id="accept-first"),
        pytest.param([RUNS], ("no-reference",) * 2, "no reference", "both", (), id="no-reference"),
    ],
)  # fmt: skip
def test_kinds(
    rules: list[dict[str, object]],
    found: tuple[Found, Found],
    kind: Kind,
    devices: str,
    ids: tuple[str, ...] | None,
) -> None:
    weighed = classify(case("Relu"), outcomes(*found), table(*rules))
    assert weighed.kind == kind
    assert weighed.devices == (("old", "new") if devices == "both" else (devices,))
    if ids is not None:
        assert weighed.rules == ids


@pytest.mark.parametrize("fallback", [True, ["Relu"], ["Abs"]], ids=["all", "named", "other"])
def test_what_falls_back_is_refused_wherever_it_may_run(fallback: object) -> None:
    weighed = classify(case("Relu"), outcomes("falls-back", "falls-back"), table(FALLS, fallback=fallback))
    assert weighed.kind == "agrees"


def test_one_device_may_be_tried_alone() -> None:
    only = outcomes("runs", "runs")[1:]
    assert classify(case("Relu"), only, table(FAILS_OLD, RUNS)).kind == "agrees"
    assert classify(case("Relu"), only, table(RUNS_NEW)).kind == "agrees"


def test_a_chain_is_as_good_as_its_worst_node() -> None:
    both, fails = case("Relu", "Abs"), outcomes("fails-to-compile", "fails-to-compile")
    abs_runs, abs_fails = rule("abs", "Abs", "runs"), rule("abs-fails", "Abs", "fails-to-compile")
    assert classify(both, fails, table(RUNS, abs_fails)).kind == "agrees"
    assert classify(both, fails, table(abs_fails)).kind == "agrees"
    assert classify(both, fails, table(RUNS)).kind == "unknown"
    accepted = classify(both, fails, table(RUNS, abs_runs))
    assert (accepted.kind, accepted.rules) == ("false accept", ("relu", "abs"))


def test_precision_counts() -> None:
    quantized = case("Relu", precision="w8a8")
    right = outcomes("runs", "runs")
    assert classify(quantized, right, table(RUNS)).kind == "unknown"
    integers = rule("relu", "Relu", "runs", quantized_dtypes=["int8"])
    assert classify(quantized, right, table(integers)).kind == "unknown"
    assert (
        classify(quantized, right, table(integers, integers={"w8a8": "int8", "w8a16": "int16"})).kind
        == "agrees"
    )


def test_a_difference_that_is_no_number_is_none() -> None:
    (first, second) = outcomes("wrong", "wrong")
    nothing = replace(first, difference=float("nan"))
    assert classify(case("Relu"), (nothing, second), table(RUNS)).difference is None
    assert classify(case("Relu"), (replace(first, difference=0.5), second), table(RUNS)).difference == 0.5


def weighed(name: str, kind: Kind) -> Classified:
    return Classified(name, "Relu", "grid", "float", kind, ("new",), ("relu",), "wrong: why", 0.25)


MIXED = Agreement(
    "fake",
    "tool 1",
    (
        weighed("b", "false accept"),
        weighed("a", "false reject"),
        *(weighed(f"c{n}", "agrees") for n in range(5)),
        weighed("d", "unknown"),
        *(weighed(f"e{n}", "no reference") for n in range(2)),
    ),
)


def test_counts_and_shares_leave_out_what_has_no_reference() -> None:
    assert MIXED.counts == {
        "agrees": 5, "false accept": 1, "false reject": 1, "unknown": 1, "no reference": 2
    }  # fmt: skip
    assert MIXED.compared == 8
    assert MIXED.share("false accept") == 1 / 8
    assert Agreement("fake", "tool 1", ()).share("agrees") == 0.0
    assert [item.case for item in MIXED.of("false accept", "false reject")] == ["a", "b"]


def test_json_has_every_disagreement() -> None:
    record = MIXED.to_json()
    assert record["counts"] == {
        "agrees": 5, "false_accept": 1, "false_reject": 1, "unknown": 1, "no_reference": 2
    }  # fmt: skip
    disagreeing, unknown = record["disagreeing"], record["unknown"]
    assert isinstance(disagreeing, list)
    assert isinstance(unknown, list)
    assert [(item["case"], item["kind"], item["rules"]) for item in disagreeing] == [
        ("a", "false reject", ["relu"]),
        ("b", "false accept", ["relu"]),
    ]
    assert [item["case"] for item in unknown] == ["d"]


def test_markdown_has_a_row_per_compiler() -> None:
    lines = markdown([MIXED, replace(MIXED, table="other")]).splitlines()
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2] == ("| fake | tool 1 | 10 | 5 (62.50%) | 1 (12.50%) | 1 (12.50%) | 1 (12.50%) | 2 |")
