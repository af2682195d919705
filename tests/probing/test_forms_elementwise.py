"""Forms of activations, arithmetic, logic and reductions: valid one-node models that ONNX Runtime runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.gate.op_support.constraints import CONSTRAINTS
from mosaic_deploy.graph.facts import Node, Tensor, nodes
from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.forms import FORMS, activation, arithmetic, logic, reduction
from mosaic_deploy.probing.grid import grid_cases
from mosaic_deploy.probing.sketch import Sketch, UnfitError, Value, opset_of

FAMILIES = {
    "activation": activation.FORMS,
    "arithmetic": arithmetic.FORMS,
    "logic": logic.FORMS,
    "reduction": reduction.FORMS,
}
OURS = [form for forms in FAMILIES.values() for form in forms]
EVERY_FORM = pytest.mark.parametrize("form", OURS, ids=lambda form: f"{form.op}-{form.name}")


def the_node(model: onnx.ModelProto) -> Node:
    (node,) = nodes(model)
    return node


def is_valid(model: onnx.ModelProto, form: Form) -> bool:
    onnx.checker.check_model(model, full_check=True)
    node = the_node(model)
    tensors: list[Tensor] = [*filter(None, node.inputs), *node.outputs]
    return node.op == form.op and not node.folded and all(tensor.shape is not None for tensor in tensors)


def run(case: Case) -> list[NDArray[Any]]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        case.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [np.asarray(output) for output in session.run(None, dict(case.feeds))]


def test_forms_are_listed_once() -> None:
    assert {(form.op, form.name) for form in OURS} <= {
        (f.op, f.name) for forms in FORMS.values() for f in forms
    }
    names = [(form.op, form.name) for forms in FORMS.values() for form in forms]
    assert len(names) == len({*names})


@EVERY_FORM
def test_grid_models_are_valid(form: Form) -> None:
    cases = list(grid_cases(form, ("float", "w8a8")))
    assert cases
    assert len({case.name for case in cases}) == len(cases)
    assert all(is_valid(case.model, form) for case in cases if case.precision == "float")
    assert {case.precision for case in cases} <= {"float", "w8a8"}
    assert {*form.discriminators} <= {*CONSTRAINTS}


@EVERY_FORM
def test_onnx_runtime_runs_the_plain_case_of_every_version(form: Form) -> None:
    plain: dict[int, Case] = {}
    for case in grid_cases(form, ("float",)):
        plain.setdefault(the_node(case.model).version, case)
    for case in plain.values():
        for output in run(case):
            assert np.isfinite(output.astype(np.float64)).all(), case.name


@EVERY_FORM
def test_random_draws_are_valid_or_unfit(form: Form) -> None:
    drawn = 0
    for seed in range(5):
        rng = np.random.default_rng(seed)
        values: dict[str, Value] = {}
        for axis, held in form.axes.items():
            choice = (*held, *form.more.get(axis, ()))
            values[axis] = choice[int(rng.integers(len(choice)))]
        sketch = Sketch(
            opset=opset_of(form.op, form.versions[seed % len(form.versions)]),
            dtype=form.dtypes[seed % len(form.dtypes)],
            rank=form.ranks[seed % len(form.ranks)],
            seed=seed, random=True, values=values,
        )  # fmt: skip
        try:
            form.draw(sketch)
            model = sketch.model()
        except UnfitError:
            continue
        drawn += 1
        assert is_valid(model, form)
    assert drawn or form.op in ("Softmax", "LogSoftmax", "Clip", "TopK")  # forms for some versions only


def drawn(op: str, name: str, *, rank: int = 4, **values: Any) -> Sketch:
    (form,) = (form for form in OURS if (form.op, form.name) == (op, name))
    every = {axis: held[0] for axis, held in form.axes.items()} | values
    sketch = Sketch(opset=18, dtype=form.dtypes[0], rank=rank, seed=1, random=False, values=every)
    form.draw(sketch)
    return sketch


def test_softmax_cannot_be_drawn_along_an_axis_that_is_not_there() -> None:
    with pytest.raises(UnfitError):
        drawn("Softmax", "one-axis", rank=2, axis=2)


def test_fractions_keep_away_from_where_rounding_jumps() -> None:
    for op, edge in (("Floor", 0.0), ("Ceil", 0.0), ("Round", 0.5), ("Sign", 0.0)):
        (data,) = drawn(op, "plain").feeds.values()
        off = np.abs((data - edge) - np.rint(data - edge))
        assert off.min() > 0.19, op


def test_what_is_ranked_has_no_ties() -> None:
    for op, name, axis in (("ArgMax", "first", 1), ("ArgMin", "last", -1), ("TopK", "plain", -1)):
        (data,) = drawn(op, name, axis=axis).feeds.values()
        assert np.diff(np.sort(data, axis), axis=axis).min() > 0.15, op


def test_comparisons_have_ties_and_both_answers() -> None:
    for op in ("Equal", "Greater", "LessOrEqual"):
        x, y = drawn(op, "computed").feeds.values()
        assert (x == y).any()
        assert (x > y).any()
        assert (x < y).any()
        assert (x.min(), x.max()) == (y.min(), y.max())  # one scale for both


def test_divisors_keep_away_from_0() -> None:
    _, divisor = drawn("Div", "same").feeds.values()
    assert np.abs(divisor).min() >= 0.5


def test_a_chain_needs_forms_that_take_any_values() -> None:
    sketch = drawn("Relu", "plain")
    sketch.chain({"over": "spatial", "keepdims": 1})
    forms: Mapping[str, Form] = {form.op: form for form in reduction.FORMS if form.name == "images"}
    forms["ReduceMean"].draw(sketch)
    assert [wire.shape for wire in sketch.outputs] == [(1, 8, 1, 1)]
    sketch.chain({})
    with pytest.raises(UnfitError):
        next(form for form in arithmetic.FORMS if form.op == "Log").draw(sketch)


@pytest.mark.parametrize(
    ("name", "op", "form", "holds", "breaks"),
    [
        ("first_input_is_computed", "Sub", "constant-first", None, {}),
        ("inputs_are_computed", "Where", "fixed", None, {}),
        ("inputs_share_a_shape", "Add", "constant", {"other": "same"}, {"other": "channel"}),
        ("inputs_share_a_rank", "Add", "constant", {"other": "channel"}, {"other": "scalar"}),
        ("first_input_has_the_output_shape", "Add", "gate", None, {}),
        ("second_input_is_one_number", "Mul", "constant", {"other": "scalar"}, {"other": "channel"}),
        ("second_input_is_one_per_channel", "PRelu", "constant", {"slope": "channel"}, {"slope": "same"}),
        ("inputs_are_two", "Sum", "several", {"count": 2}, {"count": 3}),
        ("only_last_axis_is_reduced", "ReduceMean", "images", {"over": "last-counted"}, {"over": "every"}),
        ("only_channels_are_reduced", "ReduceMax", "images", {"over": "channels"}, {"over": "channels-up"}),
        ("only_height_and_width_are_reduced", "ReduceL2", "images", {"over": "spatial-from-end"},
         {"over": "last"}),
        ("batch_is_not_reduced", "ReduceMean", "images", {"over": "channels-up"}, {"over": "none"}),
        ("axis_input_is_last", "CumSum", "plain", {"axis": -1}, {"axis": 1}),
    ],
    ids=lambda value: value if isinstance(value, str) and "_" in value else "",
)  # fmt: skip
def test_constraint(
    name: str, op: str, form: str, holds: dict[str, Any] | None, breaks: dict[str, Any]
) -> None:
    breach = CONSTRAINTS[name].breach
    fine = drawn(op, form, **holds) if holds else drawn("Add", "same")
    assert breach(the_node(fine.model())) is None
    node = the_node(drawn(op, form, **breaks).model())
    found = breach(node)
    assert found is not None
    assert found.certain
    assert found.found
    if name not in ("first_input_is_computed", "inputs_are_computed", "inputs_are_two"):
        dark = tuple(tensor and replace(tensor, shape=None, value=None) for tensor in node.inputs)
        unsure = breach(replace(node, inputs=dark))
        assert unsure is not None
        assert not unsure.certain
