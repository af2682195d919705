"""OpenVINO and ONNX Runtime under the probe: what they take, what they refuse, and what they get wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.backends.oracle.fleet import try_all
from mosaic_deploy.backends.oracle.outcome import CaseOutcome
from mosaic_deploy.backends.oracle.registry import load_compiler
from mosaic_deploy.backends.ort import oracle
from mosaic_deploy.gate.op_support.load import load_table
from mosaic_deploy.probing.sketch import Sketch
from mosaic_deploy.specs.precision import Precision
from tests.gate.op_support.constraints.judging import breach, holds, node

TABLES = ("ort-mobile", "openvino-cpu")


def a_case(
    draw: Callable[[Sketch], object],
    precision: Precision = "float",
    *,
    dtype: str = "float32",
    opset: int = 18,
    rank: int = 4,
) -> Case:
    """One node; its data has the standard shape of its rank."""
    sketch = Sketch(opset=opset, dtype=dtype, rank=rank, seed=3, random=False, values={})
    draw(sketch)
    name = f"{draw.__name__} {precision} {dtype} {opset}"
    return Case(name, draw.__name__, "plain", "grid", sketch.model(), sketch.feeds, precision)


def conv(s: Sketch) -> None:
    s.node("Conv", [s.data(), s.weights((16, 8, 3, 3)), s.weights((16,))], pads=[1, 1, 1, 1])


def conv_of_computed_weights(s: Sketch) -> None:
    s.node("Conv", [s.data(), s.input((16, 8, 3, 3))])


def add(s: Sketch) -> None:
    s.node("Add", [s.data(), s.data()])


def identity(s: Sketch) -> None:
    s.node("Identity", [s.data()])


def relu(s: Sketch) -> None:
    s.node("Relu", [s.data()])


def argmax(s: Sketch) -> None:
    s.node("ArgMax", [s.data()], axis=1, keepdims=0)


def shape(s: Sketch) -> None:
    s.node("Shape", [s.data()])


def split(s: Sketch) -> None:
    s.node("Split", [s.data()], outputs=2, axis=1, num_outputs=2)


def softmax_of_channels(s: Sketch) -> None:
    s.node("Softmax", [s.data()], axis=1)


def resize_symmetric(s: Sketch) -> None:
    sizes = s.constant([1, 8, 17, 23], "int64")
    mode = "half_pixel_symmetric"
    s.node("Resize", [s.data(), None, None, sizes], mode="linear", coordinate_transformation_mode=mode)


def outcomes(table: str, cases: list[Case], folder: Path) -> Mapping[str, CaseOutcome]:
    """What came of each case, tried in a child process; one device."""
    tried = try_all(table, cases, jobs=1, everywhere=True, folder=folder)
    found = {case.name: one for case, (one,) in tried}
    assert set(found) == {case.name for case in cases}
    return found


@pytest.mark.parametrize("table", TABLES)
def test_what_runs(table: str, tmp_path: Path) -> None:
    each: list[Precision] = ["float", "w8a8"]
    cases = [a_case(draw, p) for p in each for draw in (conv, add, relu, identity, split, argmax)]
    cases += [a_case(shape), a_case(conv, opset=11), a_case(add, dtype="int64"), a_case(add, dtype="int32")]
    found = outcomes(table, cases, tmp_path)
    assert {name: one for name, one in found.items() if one.found != "runs"} == {}
    assert {one.device for one in found.values()} == set(load_table(table).devices)
    differences = [one.difference for one in found.values() if one.difference is not None]
    assert len(differences) == len(cases)
    assert max(differences) < 0.1


def test_openvino_is_found_wrong_and_refused(tmp_path: Path) -> None:
    cases = [
        a_case(softmax_of_channels, opset=11),
        a_case(resize_symmetric, opset=19),
        a_case(conv_of_computed_weights, "w8a8"),
        a_case(conv, dtype="float16"),
    ]
    found = list(outcomes("openvino-cpu", cases, tmp_path).values())
    kinds = ["wrong", "fails-to-compile", "falls-back", "fails-to-compile"]
    assert [one.found for one in found] == kinds
    assert found[0].difference is not None
    assert found[0].difference > 0.1
    assert found[1].error == "cannot be read: -- Conversion is failed for: Resize-19"
    assert "in f32, not in int8" in found[2].error
    assert "in f16, not in float32" in found[3].error


def test_scales_per_channel_need_opset_13(tmp_path: Path) -> None:
    cases = [a_case(conv, "w8a8", opset=12), a_case(conv, "w8a8", opset=13)]
    before, after = outcomes("ort-mobile", cases, tmp_path).values()
    assert (before.found, after.found) == ("fails-to-compile", "runs")
    assert "invalid model" in before.error


# ONNX Runtime's converter leaves the file that it has read open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("precision", ["float", "w8a8"])
def test_another_answer_is_wrong(
    precision: Precision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, run = a_case(conv, precision), oracle._run

    def off(*given: Any, **more: Any) -> tuple[NDArray[Any], ...]:
        (values,) = run(*given, **more)
        spoiled = values.copy()
        spoiled.reshape(-1)[0] += np.asarray(9 if precision == "w8a8" else 0.1, values.dtype)
        return (spoiled,)

    monkeypatch.setattr(oracle, "_run", off)
    given = (case.name, case.model.SerializeToString(), case.feeds, precision, ("cpu",), tmp_path)
    (outcome,) = oracle.attempt(*given)
    assert outcome.found == "wrong"
    assert "of the range" in outcome.error


def test_what_onnx_runtime_does_not_run_has_no_reference(tmp_path: Path) -> None:
    case = a_case(add)
    feeds = {name: values[:, :4] for name, values in case.feeds.items()}
    given = ("case", case.model.SerializeToString(), feeds, "float", ("cpu",), tmp_path)
    (outcome,) = oracle.attempt(*given)  # type: ignore[arg-type]  # a precision is any of three words
    assert outcome.found == "no-reference"


@pytest.mark.parametrize("table", TABLES)
def test_the_table_is_of_the_version_that_is_here(table: str) -> None:
    compiler = load_compiler(table)
    assert compiler.missing() == ""
    assert compiler.version() == load_table(table).version
    assert compiler.devices(everywhere=False) == load_table(table).devices


def test_opset_is_10_at_least() -> None:
    text = "g (float[1,2,3,3] x) => (float[1,2,3,3] y) { y = Relu(x) }"
    assert holds("opset_is_10_at_least", node(text, op="Relu", opset=10))
    assert breach("opset_is_10_at_least", node(text, op="Relu", opset=9)) == "opset 9"


def test_opset_is_13_at_least() -> None:
    text = "g (float[1,2,3,3] x) => (float[1,2,3,3] y) { y = Relu(x) }"
    assert holds("opset_is_13_at_least", node(text, op="Relu", opset=13))
    assert breach("opset_is_13_at_least", node(text, op="Relu", opset=12)) == "opset 12"
