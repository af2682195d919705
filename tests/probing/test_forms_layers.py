"""Every form of the layers that compute most: its cases are valid, and ONNX Runtime runs them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from zlib import crc32

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NotImplemented_

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.graph.facts import nodes
from mosaic_deploy.probing.form import Form
from mosaic_deploy.probing.forms import convolution, matrix, normalisation, pooling, resize
from mosaic_deploy.probing.grid import grid_cases
from mosaic_deploy.probing.sketch import Sketch, UnfitError, opset_of

FORMS = (*convolution.FORMS, *pooling.FORMS, *resize.FORMS, *normalisation.FORMS, *matrix.FORMS)

every_form = pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.op}-{form.name}")

LACKS = {("GlobalLpPool", 22)}
"""Operators and versions that ONNX Runtime's CPU provider has no kernel for."""

"""Operators that ONNX infers no shape for: a sketch has no case of them unless it knows their shape."""


def drawn(form: Form, seed: int) -> Sketch:
    """A sketch with values drawn from the axes and their rarer values."""
    rng = np.random.default_rng(crc32(f"{form.op}/{form.name}/{seed}".encode()))
    values = {}
    for axis, usual in form.axes.items():
        choices = (*usual, *form.more.get(axis, ()))
        values[axis] = choices[rng.integers(len(choices))]
    opset = opset_of(form.op, form.versions[rng.integers(len(form.versions))])
    rank = form.ranks[rng.integers(len(form.ranks))]
    return Sketch(opset=opset, dtype=form.dtypes[0], rank=rank, seed=seed, random=True, values=values)


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def plain_cases(form: Form) -> Iterator[Case]:
    """The first case of each version and type, and of each rank that the form names."""
    seen = set()
    beside = tuple(f" rank {rank} " for rank in form.near_ranks)
    for case in grid_cases(form, ("float",)):
        kind = case.name.split(" float ")[0]
        if kind not in seen and not any(rank in f"{kind} " for rank in beside):
            seen.add(kind)
            yield case


def version(model: onnx.ModelProto) -> int:
    return nodes(model)[0].version


def test_names_are_unique() -> None:
    assert len({(form.op, form.name) for form in FORMS}) == len(FORMS)


@every_form
def test_grid(form: Form) -> None:
    cases = list(grid_cases(form, ("float", "w8a8")))
    assert cases
    assert len({case.name for case in cases}) == len(cases)
    for case in (case for case in cases if case.precision == "float"):
        found = nodes(case.model)
        assert [node.op for node in found] == [form.op], case.name
        assert all(tensor.shape is not None for node in found for tensor in node.outputs), case.name


@every_form
def test_plain_cases_run(form: Form) -> None:
    for case in plain_cases(form):
        if (case.op, version(case.model)) in LACKS:
            with pytest.raises(NotImplemented_, match="Could not find an implementation"):
                session(case.model)
            continue
        outputs = session(case.model).run(None, dict(case.feeds))
        stated = [tensor.shape for tensor in nodes(case.model)[0].outputs]
        assert [output.shape for output in outputs] == stated, case.name
        assert all(np.isfinite(output.astype(np.float64)).all() for output in outputs), case.name


@every_form
def test_random_cases_are_valid(form: Form) -> None:
    fit = 0
    for seed in range(5):
        sketch = drawn(form, seed)
        try:
            form.draw(sketch)
            model = sketch.model()
        except UnfitError:
            continue
        fit += 1
        (node,) = nodes(model)
        assert node.op == form.op
        assert all(tensor.shape is not None for tensor in node.outputs)
        if (form.op, node.version) not in LACKS:
            outputs = session(model).run(None, dict(sketch.feeds))
            assert [output.shape for output in outputs] == [tensor.shape for tensor in node.outputs]
    assert fit


@every_form
def test_a_chain_takes_the_tensor_that_is_there(form: Form) -> None:
    """After another node, a form draws on what that left, or says that it cannot."""
    taken = 0
    for version, rank in product(form.versions, form.ranks):
        sketch = Sketch(
            opset=opset_of(form.op, version), dtype=form.dtypes[0], rank=rank, seed=1, random=False, values={}
        )
        sketch.node("Identity", [sketch.data()])
        sketch.chain(form.grid()[0])
        try:
            form.draw(sketch)
            model = sketch.model()
        except UnfitError:
            continue
        taken += 1
        first, node = nodes(model)
        assert (first.op, node.op) == ("Identity", form.op)
        assert first.outputs[0].name in {tensor.name for tensor in node.inputs if tensor is not None}
    assert taken


def test_the_same_seed_gives_the_same_case() -> None:
    form = convolution.FORMS[0]
    first, second = (drawn(form, 3) for _ in range(2))
    for sketch in (first, second):
        form.draw(sketch)
    assert first.model() == second.model()
    assert all(np.array_equal(first.feeds[name], second.feeds[name]) for name in first.feeds)


def test_nearest_is_drawn_only_where_rounding_is_certain() -> None:
    """Three times the side puts every third coordinate on a pixel, by a third that no float holds."""
    form = next(f for f in resize.FORMS if f.name == "nearest-asymmetric-floor")
    values = {**form.grid()[0], "scale": "up3"}
    sketch = Sketch(opset=18, dtype="float32", rank=4, seed=0, random=False, values=values)
    with pytest.raises(UnfitError, match="between two pixels"):
        form.draw(sketch)
