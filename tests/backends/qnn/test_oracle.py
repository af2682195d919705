"""The Hexagon compiler under the probe, and the comparison that every compiler shares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.backends.oracle.compare import (
    EIGHT_BITS,
    IN_HALF,
    IN_SINGLE,
    NoReferenceError,
    Tolerance,
    compare_outputs,
    reference,
    said,
)
from mosaic_deploy.backends.oracle.fleet import try_all
from mosaic_deploy.backends.oracle.qdq import Quantized, quantize, recipe_of
from mosaic_deploy.backends.oracle.registry import load_compiler
from mosaic_deploy.backends.qnn.quantize import _fuse, _insert
from mosaic_deploy.gate.op_support.load import load_table
from mosaic_deploy.probing.sketch import Sketch
from mosaic_deploy.specs.precision import Precision

COMPILER = load_compiler("qnn-htp")
needs_compiler = pytest.mark.skipif(bool(COMPILER.missing()), reason=COMPILER.missing())


def a_case(draw: Callable[[Sketch], object], precision: Precision, *, dtype: str = "float32") -> Case:
    sketch = Sketch(opset=18, dtype=dtype, rank=4, seed=3, random=False, values={})
    draw(sketch)
    name = f"{draw.__name__} {precision}"
    return Case(name, draw.__name__, "plain", "grid", sketch.model(), sketch.feeds, precision)


def relu(s: Sketch) -> None:
    s.node("Relu", [s.data()])


def elu(s: Sketch) -> None:
    s.node("Elu", [s.data()])


def acos(s: Sketch) -> None:
    s.node("Acos", [s.input(s.shape(), low=-0.9, high=0.9)])


def conv(s: Sketch) -> None:
    s.node("Conv", [s.data(), s.weights((16, 8, 3, 3)), s.weights((16,))], pads=[1, 1, 1, 1])


def cast_pixels(s: Sketch) -> None:
    s.node("Cast", [s.input(s.shape(), dtype="uint8", low=0, high=255)], to=1)


def equal(s: Sketch) -> None:
    s.node("Equal", [s.data(), s.data()])


def split(s: Sketch) -> None:
    s.node("Split", [s.data()], outputs=2, axis=1, num_outputs=2)


def add(s: Sketch) -> None:
    s.node("Add", [s.data(), s.data()])


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, tuple[str, str]]]:
    """Case -> device -> what came of it and what the tool said, all by one child."""
    cases = [
        *(a_case(draw, "float") for draw in (relu, elu, acos, conv, cast_pixels)),
        a_case(equal, "float", dtype="int32"),
        *(a_case(draw, "w8a8") for draw in (relu, conv, split)),
        a_case(add, "w8a16"),
    ]
    folder = tmp_path_factory.mktemp("qnn")
    tried = try_all("qnn-htp", cases, jobs=1, everywhere=False, folder=folder)
    return {case.name: {o.device: (o.found, o.error) for o in outcomes} for case, outcomes in tried}


@needs_compiler
@pytest.mark.parametrize(
    "name",
    ["relu float", "conv float", "equal float", "relu w8a8", "conv w8a8", "split w8a8", "add w8a16"],
)
def test_what_the_simulator_computes_right_runs(
    found: dict[str, dict[str, tuple[str, str]]], name: str
) -> None:
    assert found[name] == {"v68": ("runs", ""), "v75": ("runs", "")}


@needs_compiler
def test_an_operator_that_the_provider_leaves_falls_back(
    found: dict[str, dict[str, tuple[str, str]]],
) -> None:
    assert {outcome for outcome, _ in found["acos float"].values()} == {"falls-back"}


@needs_compiler
def test_an_old_chip_fails_where_a_new_one_runs(found: dict[str, dict[str, tuple[str, str]]]) -> None:
    assert found["elu float"]["v75"] == ("runs", "")
    outcome, error = found["elu float"]["v68"]
    assert outcome == "fails-to-compile"
    assert "finalize" in error
    assert "/" not in error


@needs_compiler
def test_other_numbers_are_wrong(found: dict[str, dict[str, tuple[str, str]]]) -> None:
    outcome, error = found["cast_pixels float"]["v75"]
    assert outcome == "wrong"
    assert error.startswith("off by")


@needs_compiler
def test_it_is_the_table_s_tool() -> None:
    table = load_table("qnn-htp")
    assert COMPILER.version() == table.version
    assert COMPILER.devices(everywhere=True) == table.devices
    assert set(COMPILER.devices(everywhere=False)) < set(table.devices)


def quantized(draw: Callable[[Sketch], object], precision: Precision, scratch: Path) -> Quantized:
    case = a_case(draw, precision)
    model = case.model.SerializeToString()
    recipe = recipe_of(precision)
    return quantize(model, case.feeds, prepare=_fuse, insert=_insert, recipe=recipe, scratch=scratch)


@pytest.mark.parametrize(("precision", "dtype"), [("w8a8", "uint8"), ("w8a16", "uint16")])
def test_a_case_is_quantised_at_both_ends(precision: Precision, dtype: str, tmp_path: Path) -> None:
    made = quantized(add, precision, tmp_path)
    model = onnx.load_from_string(made.model)
    assert [node.op_type for node in model.graph.node] == [
        "DequantizeLinear", "DequantizeLinear", "Add", "QuantizeLinear",
    ]  # fmt: skip
    assert {str(values.dtype) for values in made.feeds.values()} == {dtype}
    answer = reference(made.model, made.feeds)
    assert [str(values.dtype) for values in answer] == [dtype]
    feeds = a_case(add, precision).feeds
    exact = sum(feeds.values())
    steps = np.abs(made.floats(answer)[0] - exact) / (made.scales[0] or 0)
    assert steps.max() < 3


def test_what_only_moves_data_is_quantised_as_in_a_network(tmp_path: Path) -> None:
    made = quantized(split, "w8a8", tmp_path)
    assert [end.dtype for end in made.outputs] == ["uint8", "uint8"]
    assert len(set(made.scales)) == 1


def test_floats_may_differ_by_their_tolerance() -> None:
    wanted = (np.linspace(0, 1, 11, dtype=np.float32),)
    assert compare_outputs(wanted, (wanted[0] + 0.009,), tolerance=IN_HALF).right
    off = compare_outputs(wanted, (wanted[0] + 0.011,), tolerance=IN_HALF)
    assert not off.right
    assert off.difference == pytest.approx(0.011, rel=1e-3)
    assert not compare_outputs(wanted, (wanted[0] + 0.009,), tolerance=IN_SINGLE).right


def test_eight_bits_may_differ_by_two_steps() -> None:
    wanted = (np.array([0.0, 10.0, 20.0]),)
    for steps, right in ((2.0, True), (2.1, False)):
        given = (wanted[0] + [0.0, steps * 0.5, 0.0],)
        assert compare_outputs(wanted, given, tolerance=EIGHT_BITS, scales=(0.5,)).right is right


def test_what_storing_the_inputs_costs_is_spared() -> None:
    feeds = {"x": np.array([1000.0, -1000.0])}
    tolerance = Tolerance(0.01, rounding=2.0**-10)
    assert compare_outputs((np.array([0.1]),), (np.array([0.9]),), tolerance=tolerance, feeds=feeds).right
    assert not compare_outputs((np.array([0.1]),), (np.array([1.2]),), tolerance=tolerance, feeds=feeds).right


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        pytest.param(np.array([1, 2]), np.array([1, 3]), id="class ids"),
        pytest.param(np.array([True]), np.array([False]), id="masks"),
        pytest.param(np.array([1.0, 2.0]), np.array([1.0, np.nan]), id="NaN"),
        pytest.param(np.array([np.inf]), np.array([-np.inf]), id="infinities"),
        pytest.param(np.array([np.nan]), np.array([1.0]), id="no NaN"),
        pytest.param(np.zeros((2, 1)), np.zeros((1, 2)), id="shapes"),
    ],
)
def test_these_are_wrong(wanted: NDArray[Any], given: NDArray[Any]) -> None:
    assert compare_outputs((wanted,), (wanted.copy(),), tolerance=IN_HALF).right
    found = compare_outputs((wanted,), (given,), tolerance=IN_HALF)
    assert not found.right
    assert found.difference > 0
    assert found.error


def test_the_worst_output_counts() -> None:
    fine, bad = np.array([0.0, 1.0]), np.array([0.0, 2.0])
    assert not compare_outputs((fine, fine, fine), (fine, bad, fine), tolerance=IN_HALF).right
    assert not compare_outputs((fine,), (fine, fine), tolerance=IN_HALF).right


def test_a_model_that_onnx_runtime_refuses_has_no_reference() -> None:
    with pytest.raises(NoReferenceError):
        reference(b"no model", {})


def test_errors_are_one_short_line_that_stays_the_same() -> None:
    text = said(
        RuntimeError(
            "\n[ONNXRuntimeError] : 1 : FAIL : 2026-11-21 10:00:00.123 /build/source/file.cc:12 failed "
            "at 0x7f00ab\nmore"
        )
    )
    assert text == "file.cc failed at ADDRESS"
    assert len(said("x" * 1000)) <= 160
