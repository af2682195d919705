"""Verdicts of one model on made-up targets: what decides, what is waived, known, fixable."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mosaic_deploy.errors import SpecError, UsageError
from mosaic_deploy.gate.baseline import mark_known
from mosaic_deploy.gate.fix.dry_run import by_passes
from mosaic_deploy.gate.judging import Fixer, Rewritten, find_subject, judge_model
from mosaic_deploy.gate.op_support.judge import CheckReport, Violation, check
from mosaic_deploy.gate.verdict import Cure, GatePolicy, GateTarget, Item, TargetVerdict
from mosaic_deploy.graph.reader.read import read_model
from tests.gate.gate_models import ERF, GOOD, TODAY, rule, subject, verdict, violation, waiver, write

CONVS = "a = Conv (image, w) b = Sigmoid (a) y = Conv (b, w)"


def judge(
    path: Path, made: GateTarget, terms: GatePolicy | None = None, *, fixer: Fixer | None = None
) -> TargetVerdict:
    (answer,) = judge_model(
        read_model(path), [made], path="nets/m.onnx", terms=terms or GatePolicy(TODAY), fixer=fixer
    )
    return answer.verdict


class Fixes:
    """Cures that are made up, and what they leave of the model."""

    def __init__(self, model: object, cure: Cure, left: tuple[Violation, ...] = ()) -> None:
        self.model, self.made, self.left = model, cure, left

    def cure(self, violation: Violation) -> Cure | None:
        return self.made if violation.op == "Erf" else None

    def rewrite(self) -> Rewritten:
        after = CheckReport("made-up", "tool 1", "w8a8", (), 2, 0, self.left)
        return Rewritten(self.model, after, {"blk.erf": ("gelu",)})  # type: ignore[arg-type]  # handed on


def test_supported(tmp_path: Path) -> None:
    answer = judge(write(tmp_path / "m.onnx", GOOD), subject(rule("Relu")))
    assert (answer.kind, answer.passed, answer.items) == ("supported", True, ())
    assert answer.operators == (("Relu", 1),)
    assert answer.precision == "w8a8"


def test_unsupported_names_the_node(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", ERF, names=("blk.relu", "blk.erf"))
    answer = judge(path, subject(rule("Relu"), rule("Erf", "fails-to-compile")))
    assert (answer.kind, answer.passed) == ("unsupported", False)
    assert [item.violation.node for item in answer.items] == ["blk.erf"]


def test_silently_wrong_fails_too(tmp_path: Path) -> None:
    answer = judge(write(tmp_path / "m.onnx", ERF), subject(rule("Relu"), rule("Erf", "wrong")))
    assert answer.count("silent-wrong") == 1
    assert not answer.passed


def test_unknown_is_undecided_and_passes_only_where_that_is_asked_for(tmp_path: Path) -> None:
    path, made = write(tmp_path / "m.onnx", ERF), subject(rule("Relu"))
    answer = judge(path, made)
    assert (answer.kind, answer.passed, answer.unknown) == ("undecided", False, 1)
    warned = judge(path, made, GatePolicy(TODAY, unknown_fails=False))
    assert (warned.kind, warned.passed) == ("undecided", True)
    waived = judge(path, made, GatePolicy(TODAY, waivers=(waiver(),)))
    assert (waived.kind, waived.passed) == ("undecided", True)


def test_no_table_is_no_verdict_and_never_passes(tmp_path: Path) -> None:
    made = GateTarget("gpu", subject().recipe, None, ())
    answer = judge(write(tmp_path / "m.onnx", GOOD), made)
    assert (answer.kind, answer.passed) == ("no table", False)


def test_what_is_deployed_decides(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", ERF)
    only_quantized = subject(
        rule("Relu"), rule("Erf", dtypes=[]), rule("Erf", "falls-back", dtypes=["float32"])
    )
    answer = judge(path, GateTarget("acme", only_quantized.recipe, only_quantized.table, ()))
    assert answer.passed
    assert [(item.deployed, item.fails) for item in answer.items] == [(False, False)]
    in_float = judge(path, subject(rule("Relu"), rule("Erf", "wrong", dtypes=["float32"]), recipe="fp32"))
    assert not in_float.passed


def test_a_quantised_model_is_judged_as_it_is(tmp_path: Path) -> None:
    body = (
        "s = Constant <value_float = 0.1> () z = Constant <value = uint8 {0}> () "
        "q = QuantizeLinear (image, s, z) d = DequantizeLinear (q, s, z) e = Erf (d) y = Relu (e)"
    )
    rules = (rule("Relu"), rule("QuantizeLinear"), rule("DequantizeLinear"), rule("Erf"))
    refuse_bytes = rule("Relu", "wrong", quantized_dtypes=["uint8"])
    path = write(tmp_path / "m.onnx", body)
    answer = judge(path, subject(*rules, refuse_bytes))
    assert answer.precision == "float"
    assert answer.count("silent-wrong") == 0  # Relu is in float here, whatever a recipe would make of it


NAMES = ("blk.relu", "blk.erf")


def test_what_exact_passes_cure_is_supported_after_fixes_and_passes(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", ERF, names=NAMES)
    made = subject(rule("Relu"), rule("Erf", "fails-to-compile"))
    answer = judge(path, made, fixer=lambda model, *_: Fixes(model, Cure(("gelu",), exact=True)))
    assert (answer.kind, answer.passed) == ("supported after fixes", True)


def test_what_only_a_lossy_pass_cures_is_unsupported(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", ERF, names=NAMES)
    made = subject(rule("Relu"), rule("Erf", "fails-to-compile"))
    answer = judge(path, made, fixer=lambda model, *_: Fixes(model, Cure(("rough",), exact=False)))
    assert (answer.kind, answer.passed) == ("unsupported", False)
    assert [item.cure.passes for item in answer.items if item.cure] == [("rough",)]


@pytest.mark.parametrize(
    ("left", "kind"),
    [
        pytest.param(violation(node="blk.erf"), "unsupported", id="it-stays"),
        pytest.param(violation(node="made", op="Tanh"), "unsupported", id="another-in-its-place"),
        pytest.param(violation("unknown", node="made", op="Tanh"), "undecided", id="an-unknown-in-its-place"),
    ],
)
def test_a_cure_counts_only_if_the_whole_graph_passes_after_it(
    left: Violation, kind: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "m.onnx", ERF, names=NAMES)
    made = subject(rule("Relu"), rule("Erf", "fails-to-compile"))
    answer = judge(path, made, fixer=lambda model, *_: Fixes(model, Cure(("gelu",), exact=True), (left,)))
    assert (answer.kind, answer.passed) == (kind, False)


def test_every_node_that_a_pass_replaces_is_told(tmp_path: Path) -> None:
    body = (
        "s = Constant <value_ints = [1, 2, 4, 16, 16]> () u = Constant <value_ints = [1, 8, 16, 16]> () "
        "r = Reshape (image, s) t = Transpose <perm = [0, 2, 1, 3, 4]> (r) y = Reshape (t, u)"
    )
    made = find_subject("gpu")
    assert made.table is not None
    model = read_model(write(tmp_path / "m.onnx", body))
    fixes = by_passes(model, made, "float")
    cures = [fixes.cure(found) for found in check(model, table=made.table, precision="float").violations]
    assert all(cures)
    assert {"r", "t", "y"} <= set(fixes.rewrite().passes)


def test_fallback_is_counted_and_limited(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", CONVS)
    made = subject(rule("Sigmoid"), rule("Conv", "falls-back"))
    free = judge(path, made)
    assert (free.kind, free.passed, free.count("fallback")) == ("supported", True, 2)
    assert free.fallback_macs_share == pytest.approx(1.0)
    tight = judge(path, made, GatePolicy(TODAY, max_fallback_macs=0.05))
    assert (tight.kind, tight.passed, tight.too_much_fallback) == ("unsupported", False, True)
    wide = judge(path, made, GatePolicy(TODAY, max_fallback_macs=1.0))
    assert wide.passed


def test_the_target_states_how_much_may_fall_back_and_a_person_may_say_otherwise(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", CONVS)
    made = replace(subject(rule("Sigmoid"), rule("Conv", "falls-back")), max_fallback_macs=0.5)
    answer = judge(path, made)
    assert (answer.kind, answer.passed, answer.max_fallback_macs) == ("unsupported", False, 0.5)
    assert judge(path, made, GatePolicy(TODAY, max_fallback_macs=1.0)).passed


def test_no_fallback_where_the_target_has_none(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", CONVS)
    answer = judge(path, subject(rule("Sigmoid"), rule("Conv", "falls-back"), fallback=False))
    assert answer.count("unsupported") == 2


@pytest.mark.parametrize(
    ("made", "passes"),
    [
        pytest.param(waiver(), True, id="any-node"),
        pytest.param(waiver(node="blk.*"), True, id="pattern"),
        pytest.param(waiver(node="neck.*"), False, id="other-node"),
        pytest.param(waiver("Gelu"), False, id="other-op"),
        pytest.param(waiver(until="2026-05-17"), True, id="last-day"),
        pytest.param(waiver(until="2026-05-16"), False, id="expired"),
        pytest.param(waiver(targets=["acme"]), True, id="target"),
        pytest.param(waiver(targets=["dsp"]), False, id="other-target"),
        pytest.param(waiver(models=["nets/*.onnx"]), True, id="model"),
        pytest.param(waiver(models=["old/*"]), False, id="other-model"),
    ],
)
def test_waivers(made: object, passes: bool, tmp_path: Path) -> None:
    assert not isinstance(made, str)
    path = write(tmp_path / "m.onnx", ERF, names=("blk.relu", "blk.erf"))
    terms = GatePolicy(TODAY, waivers=(made,))  # type: ignore[arg-type]  # a Waiver
    answer = judge(path, subject(rule("Relu"), rule("Erf", "wrong")), terms)
    assert answer.passed is passes
    assert answer.kind == "unsupported"  # a waiver changes what passes, not what is so
    assert len(answer.items) == 1  # and hides nothing


def test_an_expired_waiver_is_named(tmp_path: Path) -> None:
    old = waiver(until="2020-01-01")
    answer = judge(
        write(tmp_path / "m.onnx", ERF), subject(rule("Erf", "wrong")), GatePolicy(TODAY, waivers=(old,))
    )
    assert [i.expired for i in answer.items if i.violation.op == "Erf"] == [old]


def test_waived_fallback_is_not_counted(tmp_path: Path) -> None:
    terms = GatePolicy(TODAY, waivers=(waiver("Conv"),), max_fallback_macs=0.05)
    answer = judge(
        write(tmp_path / "m.onnx", CONVS), subject(rule("Conv", "falls-back"), rule("Sigmoid")), terms
    )
    assert answer.passed
    assert answer.fallback_macs_share == 0


def marks(new: list[Item], base: list[Item]) -> list[bool]:
    return [item.known for item in mark_known(verdict(*new), verdict(*base)).items]


def item(node: str = "a", *, level: str = "unsupported", op: str = "Erf", found: str = "x") -> Item:
    return Item(violation(level, node, op, found=found), deployed=True)


@pytest.mark.parametrize(
    ("new", "base", "known"),
    [
        pytest.param([item()], [item()], [True], id="same"),
        pytest.param([item()], [], [False], id="new"),
        pytest.param([item("b")], [item("a")], [True], id="renamed"),
        pytest.param([item("b"), item("a")], [item("a")], [False, True], id="one-more"),
        pytest.param([item("b"), item("c")], [item("a")], [True, False], id="renamed-and-one-more"),
        pytest.param([item(found="axis 2")], [item(found="axis 1")], [True], id="same-node"),
        pytest.param([item("b", found="axis 2")], [item("a", found="axis 1")], [False], id="other-finding"),
        pytest.param([item(level="silent-wrong")], [item()], [False], id="worse"),
        pytest.param([item(op="Mish")], [item()], [False], id="other-op"),
    ],
)
def test_what_the_base_had_is_known(new: list[Item], base: list[Item], known: list[bool]) -> None:
    assert marks(new, base) == known


def test_only_what_is_new_fails() -> None:
    old, new = verdict(item("a")), verdict(item("a"), item("b"))
    assert mark_known(old, old).passed
    assert not mark_known(new, old).passed
    assert mark_known(old, old).kind == "unsupported"


def test_fallback_above_the_limit_fails_only_if_some_is_new() -> None:
    slow = Item(violation("fallback", node="a"), deployed=True)
    more = Item(violation("fallback", node="b"), deployed=True)
    base = verdict(slow, limit=0.1)
    assert mark_known(base, base).passed
    assert not mark_known(verdict(slow, more, limit=0.1), base).passed


def test_a_target_is_found_by_name() -> None:
    found = find_subject("dsp")
    assert found.table is not None
    assert (found.recipe.name, found.devices) == ("w8a8", ("v68", "v73", "v75"))
    assert find_subject("dsp", "w8a16").recipe.precision == "w8a16"


@pytest.mark.parametrize(
    ("name", "recipe", "says"),
    [
        pytest.param("dps", None, "did you mean 'dsp'", id="target"),
        pytest.param("dsp", "w8a9", "did you mean", id="recipe"),
        pytest.param("dsp", "fp16", "not for target dsp", id="recipe-of-another"),
    ],
)
def test_unknown_names_are_refused(name: str, recipe: str | None, says: str) -> None:
    with pytest.raises((SpecError, UsageError), match=says):
        find_subject(name, recipe)
