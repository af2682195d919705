"""Forms that move, index and quantise: every case is a sound model of one node that ONNX Runtime can run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.gate.op_support.constraints import CONSTRAINTS
from mosaic_deploy.graph.facts import nodes
from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.forms import indexing, movement, quantize
from mosaic_deploy.probing.grid import grid_cases
from mosaic_deploy.probing.sketch import Sketch, UnfitError, Value, opset_of

FORMS = (*movement.FORMS, *indexing.FORMS, *quantize.FORMS)

every_form = pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.op}/{form.name}")


def run(model: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: list[NDArray[Any]] = session.run(None, dict(feeds))
    return found


def is_sound(form: Form, model: onnx.ModelProto) -> bool:
    """Whether a model has one node, of the form's operator, that no compiler folds, with static shapes."""
    onnx.checker.check_model(model, full_check=True)
    described = nodes(model)
    tensors = [t for node in described for t in (*node.inputs, *node.outputs) if t is not None]
    return (
        [node.op for node in described] == [form.op]
        and not described[0].folded
        and all(tensor.shape is not None and tensor.dtype for tensor in tensors)
    )


def drawn(form: Form, seed: int) -> Sketch:
    """An empty sketch with everything about the form drawn at random."""
    rng = np.random.default_rng(seed)
    values: dict[str, Value] = {}
    for axis, plain in form.axes.items():
        choice = [*plain, *form.more.get(axis, ())]
        values[axis] = choice[int(rng.integers(len(choice)))]
    return Sketch(
        opset=opset_of(form.op, form.versions[int(rng.integers(len(form.versions)))]),
        dtype=form.dtypes[int(rng.integers(len(form.dtypes)))],
        rank=form.ranks[int(rng.integers(len(form.ranks)))],
        seed=seed, random=True, values=values,
    )  # fmt: skip


def finished(form: Form, sketch: Sketch) -> onnx.ModelProto | None:
    """The model, or None where the form does not suit the sketch."""
    try:
        form.draw(sketch)
        return sketch.model()
    except UnfitError:
        return None


@every_form
def test_grid_is_sound(form: Form) -> None:
    cases = list(grid_cases(form, ("float", "w8a8")))

    assert cases
    assert len({case.name for case in cases}) == len(cases)
    assert [case.name for case in cases if case.precision == "float" and not is_sound(form, case.model)] == []


@every_form
def test_plain_cases_run(form: Form) -> None:
    seen: dict[tuple[str, str], Case] = {}
    for case in grid_cases(form, ("float",)):
        version_and_type = " ".join(case.name.split(" rank ")[0].split()[-2:])
        seen.setdefault((version_and_type, case.sort), case)
    outputs = {case.name: run(case.model, case.feeds) for case in seen.values()}

    assert {key[0].split()[0] for key in seen} == {f"v{version}" for version in form.versions}
    assert [name for name, out in outputs.items() if not all(np.isfinite(x).all() for x in out)] == []


@every_form
def test_random_draws_are_sound_or_unfit(form: Form) -> None:
    fitting = 0
    for seed in range(5):
        sketch = drawn(form, seed)
        if (model := finished(form, sketch)) is None:
            continue
        fitting += 1
        assert is_sound(form, model), seed
        assert all(np.isfinite(x).all() for x in run(model, sketch.feeds)), seed

    assert fitting


@every_form
def test_chained_draws_run_or_are_unfit(form: Form) -> None:
    for rank in range(6):
        values = {axis: plain[0] for axis, plain in form.axes.items()}
        sketch = Sketch(
            opset=opset_of(form.op, form.versions[-1]), dtype=form.dtypes[0], rank=rank, seed=rank,
            random=True, values={},
        )  # fmt: skip
        x = sketch.data()
        sketch.node("Identity", [x])
        sketch.chain(values)
        if (model := finished(form, sketch)) is not None:
            assert [node.op_type for node in model.graph.node] == ["Identity", form.op]
            run(model, sketch.feeds)


def test_same_seed_gives_the_same_case() -> None:
    for form in FORMS:
        first, second = (next(grid_cases(form, ("float",))) for _ in range(2))
        assert first.model == second.model, form
        assert all(np.array_equal(first.feeds[name], second.feeds[name]) for name in first.feeds), form


def test_tells_are_constraints() -> None:
    assert {name for form in FORMS for name in form.discriminators} - set(CONSTRAINTS) == set()


@pytest.mark.parametrize(
    ("constraint", "op", "form", "values", "breach"),
    [
        ("batch_is_kept", "Expand", "axes", {"axes": (0,)}, "[1, 8, 12, 16] to [3, 8, 12, 16]"),
        ("batch_is_kept", "Expand", "axes", {"axes": (1,)}, None),
        ("parts_are_equal", "Split", "equal", {"axis": 1, "parts": 2}, None),
        (
            "parts_are_equal", "Split", "sizes", {"axis": 1, "sizes": "uneven"},
            "parts [[1, 2, 12, 16], [1, 6, 12, 16]]",
        ),
        ("steps_are_positive", "Slice", "steps", {"axes": (1,), "step": -2, "first": 0}, "-2 in 'const5'"),
        ("steps_are_positive", "Slice", "steps", {"axes": (1,), "step": 2, "first": 0}, None),
        ("pads_are_not_negative", "Pad", "negative", {"where": "cropped"}, "-3 in 'const2'"),
        ("pads_are_not_negative", "Pad", "zeros", {"where": "even"}, None),
        (
            "indices_are_not_negative", "Gather", "negative", {"axis": 1, "shape": "negative"},
            "-8 in 'const2'",
        ),
        ("indices_are_not_negative", "Gather", "list", {"axis": 1}, None),
        (
            "indices_are_not_negative", "Gather", "computed",
            {"axis": 1, "shape": "list", "type": "int64", "indices": "computed"},
            "'in2', whose values are not stored",
        ),
        ("indices_form_a_list", "Gather", "shaped", {"axis": 1, "shape": "scalar"}, "indices of rank 0"),
        ("indices_form_a_list", "Gather", "list", {"axis": 1}, None),
        ("scale_is_one_number", "QuantizeLinear", "channels", {"to": "int8", "axis": 1}, "8 scales"),
        ("scale_is_one_number", "QuantizeLinear", "bytes", {"to": "int8"}, None),
        ("ranks_are_four_at_most", "Reshape", "constant", {"to": "heads"}, "'out3' has rank 5"),
        ("ranks_are_four_at_most", "Reshape", "constant", {"to": "tokens"}, None),
    ],
)  # fmt: skip
def test_constraints_tell(
    constraint: str, op: str, form: str, values: dict[str, Value], breach: str | None
) -> None:
    (chosen,) = [f for f in FORMS if (f.op, f.name) == (op, form)]
    sketch = Sketch(opset=18, dtype="float32", rank=4, seed=0, random=False, values=values)
    model = finished(chosen, sketch)
    assert model is not None
    found = CONSTRAINTS[constraint].breach(nodes(model)[0])

    assert (found.found if found else None) == breach


def test_pads_are_read_from_the_attribute_too() -> None:
    (form,) = [f for f in FORMS if (f.op, f.name) == ("Pad", "negative")]
    cases = {case.name.split()[1]: case for case in grid_cases(form, ("float",))}
    found = CONSTRAINTS["pads_are_not_negative"].breach(nodes(cases["v2"].model)[0])

    assert found is not None
    assert found.found == "pads [0, 0, -2, -1, 0, 0, -1, -3]"


def test_a_gather_takes_what_numpy_takes() -> None:
    (form,) = [f for f in FORMS if (f.op, f.name) == ("Gather", "list")]
    case = next(grid_cases(form, ("float",)))
    indices = onnx.numpy_helper.to_array(case.model.graph.initializer[0])
    (data,) = case.feeds.values()

    np.testing.assert_array_equal(run(case.model, case.feeds)[0], np.take(data, indices, axis=1))


@pytest.mark.parametrize("form", [f for f in FORMS if f.op == "QuantizeLinear"], ids=lambda form: form.name)
def test_no_rounding_decides(form: Form) -> None:
    for case in grid_cases(form, ("float",)):
        stored = {t.name: onnx.numpy_helper.to_array(t) for t in case.model.graph.initializer}
        (node,) = case.model.graph.node
        (data,) = case.feeds.values()
        scale = stored[node.input[1]].astype(np.float64)
        if scale.size > 1:
            axis = next(a.i for a in node.attribute if a.name == "axis") % data.ndim
            scale = scale.reshape([-1 if i == axis else 1 for i in range(data.ndim)])
        steps = data / scale

        assert np.abs(steps - np.rint(steps)).max() < 0.32, case.name
