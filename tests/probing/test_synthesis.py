"""Tables made from results: the rules that are expected, and never one that says otherwise than was found."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.backends.oracle.outcome import CaseOutcome, Found
from mosaic_deploy.gate.op_support.advice import ELSE
from mosaic_deploy.gate.op_support.judge import check
from mosaic_deploy.gate.op_support.tables import OpRule, OpTable, Range
from mosaic_deploy.graph.facts import Node, nodes
from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.grid import grid_cases
from mosaic_deploy.probing.sketch import Sketch
from mosaic_deploy.probing.synthesis import Made, make_table
from mosaic_deploy.specs.precision import Precision

PRECISIONS: tuple[Precision, ...] = ("float", "w8a8", "w8a16")
Results = list[tuple[Case, tuple[CaseOutcome, ...]]]
Behaves = Callable[[Node, Precision, str], Found]
"""What a pretended compiler does with a node at a precision on a device."""


def relu(s: Sketch) -> None:
    s.node("Relu", [s.data()])


def conv(s: Sketch) -> None:
    x = s.data()
    k, d = s["kernel"] if "kernel" in s.values else 3, s["dilation"] if "dilation" in s.values else 1
    weights = s.weights if s.values.get("weights", "constant") == "constant" else s.input
    sides = [k] * (x.rank - 2)
    s.node(
        "Conv", [x, weights((4, x.shape[1], *sides))], kernel_shape=sides, dilations=[d] * len(sides),
        pads=[d * (k // 2)] * (2 * len(sides)),
    )  # fmt: skip


def softmax(s: Sketch) -> None:
    x = s.data()
    places = {"first": 0, "channels": 1, "before-last": x.rank - 2, "last": x.rank - 1, "-1": -1}
    s.node("Softmax", [x], axis=places[s["axis"]])


def resize(s: Sketch) -> None:
    x = s.data()
    scales = s.constant([1.0, 1.0, s["factor"], s["factor"]], "float32")
    s.node("Resize", [x, None, scales], mode=s["mode"], coordinate_transformation_mode="asymmetric")


def mean(s: Sketch) -> None:
    x, axes = s.data(), (s["over"],)
    if s.since("ReduceMean") < 18:
        s.node("ReduceMean", [x], axes=axes)
    else:
        s.node("ReduceMean", [x, s.constant(axes, "int64")])


RELU = Form("Relu", "plain", relu, (1, 2, 3, 4, 5))
CONV = Form(
    "Conv", "dense", conv, axes={"kernel": (3, 1, 5, 7), "dilation": (1, 2, 4, 8, 16)},
    discriminators=("parameters_are_constant",), least=11,
)  # fmt: skip
HELD = Form(
    "Conv", "held", conv, (3, 4), axes={"weights": ("constant", "computed")},
    discriminators=("parameters_are_constant",), least=11,
)  # fmt: skip
COMPUTED = replace(HELD, name="computed", axes={"weights": ("computed",)})
SOFTMAX = Form(
    "Softmax", "along", softmax, (2, 3, 4), axes={"axis": ("-1", "first", "channels", "before-last", "last")},
    discriminators=("axis_is_last",), least=13,
)  # fmt: skip
RESIZE = Form("Resize", "plain", resize, axes={"mode": ("nearest", "linear", "cubic"), "factor": (2.0, 4.0)},
              least=11)  # fmt: skip
MEAN = Form("ReduceMean", "along", mean, (3, 4), axes={"over": (-1, 1, 2, -2)}, quantized=False)


def table(*rules: dict[str, Any], devices: Sequence[str] = ("a",), **fields: Any) -> OpTable:
    head = {"schema": 1, "name": "pretend", "summary": "-", "tool": "pretend", "version": "1"}
    facts = {"devices": devices, "fallback": True, "folds_constants": False}
    return OpTable.model_validate({**head, **facts, **fields, "rule": rules})


def tried(forms: Sequence[Form], behaves: Behaves, *, devices: Sequence[str] = ("a",)) -> Results:
    results = []
    for case in (case for form in forms for case in grid_cases(form, PRECISIONS, around=False)):
        node = nodes(case.model)[0]
        found = ((device, behaves(node, case.precision, device)) for device in devices)
        results.append(
            (case, tuple(CaseOutcome(case.name, d, f, "" if f == "runs" else "no") for d, f in found))
        )
    return results


def made(forms: Sequence[Form], behaves: Behaves, before: OpTable | None = None) -> Made:
    """The table, of which no decision is another than what was found."""
    before = before or table()
    results = tried(forms, behaves, devices=before.devices)
    found = make_table(before, results, version="2", forms={f.op: forms for f in forms})
    assert disagreements(found.table, results) == []
    return found


def said(case: Case, known: OpTable, device: str) -> str:
    report = check(case.model, table=known, precision=case.precision, devices=(device,))
    return report.violations[0].level if report.violations else "runs"


def disagreements(known: OpTable, results: Results) -> list[str]:
    """Cases that the table clears or refuses and that came out the other way."""
    return [
        f"{case.name} on {outcome.device}: {level}, not {outcome.found}"
        for case, outcomes in results
        for outcome in outcomes
        if (level := said(case, known, outcome.device)) != "unknown"
        and outcome.found != "no-reference"
        and (level == "runs") != (outcome.found == "runs")
    ]


def unknown(known: OpTable, results: Results) -> int:
    return sum(said(case, known, o.device) == "unknown" for case, outcomes in results for o in outcomes)


def rules(found: Made) -> dict[str, OpRule]:
    return {rule.id: rule for rule in found.table.rules}


def rank_five_is_refused(node: Node, precision: Precision, device: str) -> Found:
    return "falls-back" if node.data and node.data.rank == 5 else "runs"


def dilated(node: Node, precision: Precision, device: str) -> Found:
    dilations = node.attributes["dilations"]
    assert isinstance(dilations, tuple)
    return "wrong" if any(float(d) > 8 for d in dilations) else "runs"


def constant_weights_only(node: Node, precision: Precision, device: str) -> Found:
    weights = node.inputs[1]
    return "runs" if weights and weights.constant else "fails-to-compile"


def everything_runs(node: Node, precision: Precision, device: str) -> Found:
    return "runs"


def test_a_rank_is_refused() -> None:
    found = made([RELU], rank_five_is_refused)
    assert found.notes == ()
    assert found.table.version == "2"
    assert [rule.model_dump(exclude_defaults=True) for rule in found.table.rules] == [
        {
            "id": "relu", "op": "Relu", "versions": (6, 13, 14), "dtypes": ("float32",),
            "quantized_dtypes": ("uint8", "uint16"), "ranks": (1, 2, 3, 4), "verdict": "runs",
            "evidence": {"cases": 18},
        },
        {
            "id": "relu-refused", "op": "Relu", "dtypes": ("float32",),
            "quantized_dtypes": ("uint8", "uint16"), "ranks": (5,), "verdict": "falls-back",
            "evidence": {"cases": 3, "error": "no"}, "fix": "Reshape it to ranks 1 to 4",
        },
    ]  # fmt: skip


def test_values_become_a_range_up_to_where_they_fail() -> None:
    found = rules(made([CONV], dilated))
    assert list(found) == ["conv", "conv-wrong"]
    runs, wrong = found.values()
    assert runs.attributes == {
        "kernel_shape": Range(min=1, max=7),
        "dilations": Range(min=1, max=8),
        "pads": Range(min=0, max=24),
    }
    assert runs.constraints == ("parameters_are_constant",)
    assert runs.versions == (11, 22)
    assert wrong.attributes["dilations"] == (16,)
    assert wrong.fix == ELSE


def test_a_range_stops_at_a_value_that_fails_within() -> None:
    def behaves(node: Node, precision: Precision, device: str) -> Found:
        return "falls-back" if node.attributes["kernel_shape"] == (5, 5) else "runs"

    runs = next(rule for rule in made([CONV], behaves).table.rules if rule.accepts)
    assert runs.attributes["kernel_shape"] == (1, 3, 7)


def test_types_are_told_apart_as_the_table_quantises() -> None:
    def behaves(node: Node, precision: Precision, device: str) -> Found:
        return "falls-back" if precision == "w8a8" else "runs"

    before = table(integers={"w8a8": "int8", "w8a16": "int16"})
    runs, refused = made([RELU], behaves, before).table.rules
    assert (runs.dtypes, runs.quantized_dtypes) == (("float32",), ("int16",))
    assert (refused.dtypes, refused.quantized_dtypes) == ((), ("int8",))
    assert refused.fix == "keep it in float32"


def test_constraints_tell_boxes_apart() -> None:
    runs, refused = made([HELD], constant_weights_only).table.rules
    assert (runs.constraints, runs.breaks) == (("parameters_are_constant",), ())
    assert (refused.constraints, refused.breaks) == ((), ("parameters_are_constant",))
    assert refused.fix == ELSE


def test_a_constraint_that_does_not_matter_is_not_named() -> None:
    (runs,) = made([HELD], everything_runs).table.rules
    assert runs.constraints == ()


def test_other_forms_show_that_a_constraint_does_not_matter() -> None:
    constant = replace(HELD, name="constant", axes={"weights": ("constant",)})
    (runs,) = made([constant, COMPUTED], everything_runs).table.rules
    assert runs.constraints == ()
    assert runs.evidence.cases == len(tried([constant, COMPUTED], everything_runs))


def test_what_runs_only_where_a_constraint_is_broken_stays_unknown() -> None:
    def behaves(node: Node, precision: Precision, device: str) -> Found:
        return "falls-back" if constant_weights_only(node, precision, device) == "runs" else "runs"

    found = made([HELD], behaves)
    assert [rule.verdict for rule in found.table.rules] == ["falls-back"]
    assert any("no rule can tell" in note for note in found.notes)
    assert any(note.startswith("Conv: 6 of 15 cases stay unknown") for note in found.notes)
    assert found.table.rules[0].fix == ELSE


def test_what_was_only_tried_broken_accepts_nothing_else() -> None:
    found = made([COMPUTED], everything_runs)
    assert found.table.rules == ()
    assert any("no case holds to parameters_are_constant" in note for note in found.notes)


def test_an_axis_that_follows_the_shape_may_be_any() -> None:
    (runs,) = made([SOFTMAX], everything_runs).table.rules
    assert runs.attributes == {"axis": "any"}
    assert runs.ranks == (2, 3, 4)


def test_an_axis_that_must_be_last_is_told_by_the_constraint() -> None:
    def behaves(node: Node, precision: Precision, device: str) -> Found:
        last = len(node.outputs[0].shape or ()) - 1
        return "runs" if node.attributes["axis"] in (-1, last) else "fails-to-compile"

    found = made([SOFTMAX], behaves)
    assert unknown(found.table, tried([SOFTMAX], behaves)) == 0
    runs = [rule for rule in found.table.rules if rule.accepts]
    assert [rule.constraints for rule in runs] == [("axis_is_last",)]
    assert all(rule.breaks == ("axis_is_last",) for rule in found.table.rules if not rule.accepts)


def test_words_are_listed() -> None:
    def behaves(node: Node, precision: Precision, device: str) -> Found:
        return "wrong" if node.attributes["mode"] == "cubic" else "runs"

    found = made([RESIZE], behaves)
    runs, wrong = found.table.rules
    assert runs.attributes == {
        "coordinate_transformation_mode": ("asymmetric",),
        "mode": ("linear", "nearest"),
    }
    assert wrong.attributes["mode"] == ("cubic",)
    assert wrong.fix == ELSE


def test_an_older_version_that_fails_is_not_accepted() -> None:
    def behaves(node: Node, precision: Precision, device: str) -> Found:
        return "falls-back" if node.version == 6 else "runs"

    runs, refused = made([RELU], behaves).table.rules
    assert runs.versions == (13, 14)
    assert refused.versions == (6,)
    assert refused.fix == "export it with version 13 or 14 of the operator"


def test_what_is_an_input_today_may_be_an_attribute_of_older_versions() -> None:
    (runs,) = made([MEAN], everything_runs).table.rules
    assert {13, 18} <= set(runs.versions)
    assert runs.attributes == {"axes": "any"}


def test_devices_with_the_same_outcomes_share_a_rule() -> None:
    def behaves(node: Node, precision: Precision, device: str) -> Found:
        return "fails-to-compile" if device == "old" and precision == "float" else "runs"

    found = made([RELU], behaves, table(devices=("old", "new", "newest"))).table
    assert [(r.dtypes, r.quantized_dtypes, r.verdict, r.evidence.devices) for r in found.rules] == [
        ((), ("uint8", "uint16"), "runs", ()),
        (("float32",), (), "runs", ("new", "newest")),
        (("float32",), (), "fails-to-compile", ("old",)),
    ]


def test_what_has_no_reference_teaches_nothing() -> None:
    def behaves(node: Node, precision: Precision, device: str) -> Found:
        return "no-reference" if node.data and node.data.rank == 1 else "runs"

    (runs,) = made([RELU], behaves).table.rules
    assert runs.ranks == (2, 3, 4, 5)


def test_a_random_case_narrows_a_rule() -> None:
    results = tried([CONV], everything_runs)
    sketch = Sketch(
        opset=18, dtype="float32", rank=4, seed=0, random=True, values={"kernel": 3, "dilation": 3}
    )
    conv(sketch)
    odd = Case("Conv/dense random 1", "Conv", "dense", "random", sketch.model(), sketch.feeds, "float")
    results.append((odd, (CaseOutcome(odd.name, "a", "wrong"),)))
    found = make_table(table(), results, version="2", forms={"Conv": [CONV]}).table
    assert disagreements(found, results) == []
    assert unknown(found, results) == 1


RELU_RULE = {
    "id": "by-hand", "op": "Relu", "versions": [14], "dtypes": ["float32"], "ranks": [4], "verdict": "runs",
    "evidence": {"cases": 500},
}  # fmt: skip
REFUSED = {
    "id": "relu-rank-5", "op": "Relu", "ranks": [5], "verdict": "falls-back", "evidence": {"cases": 1},
    "fix": "reshape it first",
}  # fmt: skip


def test_rules_that_still_hold_are_kept_with_their_words() -> None:
    other = {**REFUSED, "id": "tan", "op": "Tan"}
    everywhere = {
        **REFUSED, "id": "all", "op": "*", "ranks": [], "breaks": ["rank_is_five_at_most"],
    }  # fmt: skip
    foreign = {**REFUSED, "id": "ms", "domain": "com.microsoft"}
    found = made([RELU], rank_five_is_refused, table(RELU_RULE, REFUSED, other, everywhere, foreign))
    kept = rules(found)
    assert list(kept) == ["all", "by-hand", "relu-rank-5", "relu", "ms", "tan"]
    assert kept["by-hand"].evidence.cases == 3  # its version means the same as two others
    assert kept["relu-rank-5"].fix == "reshape it first"
    assert kept["relu-rank-5"].evidence.cases == 3
    assert kept["tan"].evidence.cases == 1
    assert found.notes == ()


def test_rules_that_no_longer_hold_are_dropped() -> None:
    found = made([RELU], everything_runs, table(RELU_RULE, REFUSED))
    assert list(rules(found)) == ["by-hand", "relu"]
    assert len(found.notes) == 1
    assert found.notes[0].startswith("Relu: 'relu-rank-5' is dropped: Relu/plain v")


def test_a_rule_for_every_operator_that_is_wrong_is_told() -> None:
    wrong = {**REFUSED, "id": "none-of-rank-5", "op": "*"}
    found = make_table(table(wrong), tried([RELU], everything_runs), version="2", forms={"Relu": [RELU]})
    assert "none-of-rank-5" in rules(found)
    assert any("'none-of-rank-5' says otherwise" in note for note in found.notes)


@pytest.mark.parametrize(
    "forms",
    [pytest.param([RELU, RESIZE], id="two-operators"), pytest.param([HELD, CONV], id="two-forms")],
)
def test_the_same_results_make_the_same_table_in_any_order(forms: list[Form]) -> None:
    results = tried(forms, lambda node, precision, device: "wrong" if precision == "w8a8" else "runs")
    by_op = {form.op: [f for f in forms if f.op == form.op] for form in forms}
    one = make_table(table(), results, version="2", forms=by_op)
    random.Random(1).shuffle(results)
    assert make_table(table(), results, version="2", forms=by_op) == one


def test_a_table_made_again_stays_as_it_is() -> None:
    results = tried([CONV, HELD], dilated)
    forms = {"Conv": [CONV, HELD]}
    once = make_table(table(), results, version="2", forms=forms)
    assert make_table(once.table, results, version="2", forms=forms).table == once.table


_FOUND: tuple[Found, ...] = ("runs", "runs", "wrong", "falls-back", "fails-to-compile", "no-reference")
_SMALL = (
    replace(CONV, axes={"kernel": (3, 1, 5), "dilation": (1, 2)}, least=22, discriminators=()),
    replace(HELD, ranks=(4,), least=11),
)
_CASES = tried(_SMALL, everything_runs, devices=("a", "b"))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(_FOUND), min_size=2 * len(_CASES), max_size=2 * len(_CASES)))
def test_no_rule_ever_says_otherwise_than_was_found(found: list[Found]) -> None:
    outcomes = iter(found)
    results = [
        (case, tuple(CaseOutcome(case.name, device, next(outcomes)) for device in ("a", "b")))
        for case, _ in _CASES
    ]
    known = make_table(table(devices=("a", "b")), results, version="2", forms={"Conv": _SMALL})
    assert disagreements(known.table, results) == []


@settings(max_examples=40, deadline=None)
@given(
    refused=st.sets(st.sampled_from([1, 2, 3, 4, 5])),
    wrong=st.sets(st.sampled_from(PRECISIONS)),
    broken=st.sets(st.sampled_from([6, 13, 14])),
)
def test_whatever_types_ranks_and_versions_decide_is_known(
    refused: set[int], wrong: set[Precision], broken: set[int]
) -> None:
    def behaves(node: Node, precision: Precision, device: str) -> Found:
        if node.version in broken:
            return "fails-to-compile"
        if node.data and node.data.rank in refused:
            return "falls-back"
        return "wrong" if precision in wrong else "runs"

    found = made([RELU], behaves)
    assert found.notes == ()
    assert unknown(found.table, tried([RELU], behaves)) == 0
