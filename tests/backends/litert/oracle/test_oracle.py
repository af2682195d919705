"""Cases really converted by onnx2tf and run on LiteRT: on XNNPACK, and on the GPU where there is a driver."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mosaic_deploy.backends.litert import flatbuffer
from mosaic_deploy.backends.litert.oracle import convert, gpu, xnnpack
from mosaic_deploy.backends.oracle.case import Case
from mosaic_deploy.backends.oracle.compare import IN_SINGLE
from mosaic_deploy.backends.oracle.fleet import try_all
from mosaic_deploy.backends.oracle.outcome import CaseOutcome
from mosaic_deploy.probing.sketch import Sketch
from mosaic_deploy.specs.precision import Precision
from tests.backends.litert.tflite import tensor, tflite_model
from tests.graph.passes.agreement import image, number, random

pytestmark = pytest.mark.skipif(bool(convert.missing()), reason=convert.missing())
needs_gpu = pytest.mark.skipif(bool(gpu.missing()), reason=gpu.missing())


def sketch(*, rank: int = 4, dtype: str = "float32", opset: int = 18) -> Sketch:
    return Sketch(opset=opset, dtype=dtype, rank=rank, seed=7, random=False, values={})


def case(name: str, drawn: Sketch, precision: Precision = "float") -> Case:
    return Case(f"{name} {precision}", name, "plain", "grid", drawn.model(), drawn.feeds, precision)


def one(op: str, precision: Precision = "float", rank: int = 4, **attributes: Any) -> Case:
    drawn = sketch(rank=rank)
    drawn.node(op, [drawn.data()], **attributes)
    return case(op, drawn, precision)


def convolved(precision: Precision = "float") -> Case:
    drawn = sketch()
    drawn.node("Conv", [drawn.data(), drawn.weights((5, 8, 3, 3)), drawn.weights((5,))], pads=[1, 1, 1, 1])
    return case("Conv", drawn, precision)


def tried(table: str, wanted: Sequence[Case], tmp_path: Path) -> dict[str, CaseOutcome]:
    results = try_all(table, wanted, jobs=1, everywhere=True, folder=tmp_path / "fleet")
    return {case.name: outcome for case, (outcome,) in results}


def test_what_xnnpack_makes_of_cases(tmp_path: Path) -> None:
    added = sketch()
    added.node("Add", [added.data(), added.input((1, 8, 1, 1))])
    parted = sketch()
    parted.node("Split", [parted.data()], outputs=2, axis=1, num_outputs=2)
    picked = sketch(rank=2)
    picked.node("Gather", [picked.data(), picked.constant([2, 0], "int64")], axis=0)
    found = tried(
        "litert-xnnpack",
        [
            convolved(),
            convolved("w8a8"),
            case("Add", added),
            case("Split", parted),
            case("Gather", picked),
            one("Softmax", rank=3),
            one("Transpose", rank=5, perm=[0, 2, 1, 4, 3]),
            one("LeakyRelu", "w8a8"),
            one("HardSigmoid", "w8a8"),
            one("Log", "w8a8"),
            one("Identity", "w8a8"),
            one("ArgMax", axis=1, keepdims=0),
            one("ArgMax", "w8a8", axis=1, keepdims=0, select_last_index=1),
            one("ReduceMean", noop_with_empty_axes=1),
        ],
        tmp_path,
    )
    told = {name: (outcome.found, outcome.error) for name, outcome in found.items()}
    assert {outcome.device for outcome in found.values()} == {"litert"}
    for name in ("Conv float", "Conv w8a8", "Add float", "Split float", "Softmax float", "Identity w8a8"):
        assert told[name] == ("runs", "")
    assert told["Transpose float"] == ("runs", "")
    assert told["Gather float"] == ("falls-back", "XNNPACK leaves GATHER")
    assert told["ArgMax float"] == ("falls-back", "XNNPACK leaves ARG_MAX")
    assert told["LeakyRelu w8a8"] == ("runs", "")  # in float
    assert told["HardSigmoid w8a8"] == ("falls-back", "XNNPACK leaves RELU_0_TO_1")
    assert told["Log w8a8"] == ("fails-to-compile", "a tensor holds NaN or infinity")  # of negative numbers
    assert told["ArgMax w8a8"][0] == "fails-to-compile"
    assert told["ArgMax w8a8"][1].startswith("onnx2tf: ")
    assert told["ReduceMean float"][0] == "wrong"
    assert told["ReduceMean float"][1].startswith("onnx2tf: shape [1, 1, 1, 1]")
    exact, integer = found["Conv float"].difference, found["Conv w8a8"].difference
    assert exact is not None
    assert integer is not None
    assert exact < 1e-5 < 1e-3 < integer < 0.05


@needs_gpu
def test_what_the_gpu_makes_of_cases(tmp_path: Path) -> None:
    added = sketch()
    added.node("Add", [added.data(), added.input((1, 8, 1, 1))])
    parted = sketch()
    parted.node("Split", [parted.data()], outputs=2, axis=1, num_outputs=2)
    numbers = sketch(dtype="int64", rank=2)
    numbers.node("Add", [numbers.data(), numbers.constant([1])])
    found = tried(
        "litert-gpu",
        [
            convolved(),
            case("Add", added),
            case("Split", parted),
            case("Sum", numbers),
            one("Sigmoid", rank=5),
        ],
        tmp_path,
    )
    told = {name: (outcome.found, outcome.error) for name, outcome in found.items()}
    assert {outcome.device for outcome in found.values()} == {"vulkan"}
    for name in ("Conv float", "Add float", "Split float"):
        assert told[name] == ("runs", "")
    assert told["Sum float"][0] == "falls-back"
    assert "(Tensor type(INT64) is not supported)" in told["Sum float"][1]
    assert told["Sigmoid float"] == (
        "falls-back",
        "the accelerator leaves LOGISTIC (has bad input dims size: 5.)",
    )
    half = found["Conv float"].difference
    assert half is not None
    assert 1e-5 < half < 0.01, "what was said last was computed in float16"


def test_outputs_are_compared_in_the_layout_that_a_file_has() -> None:
    wanted = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    channels_last = wanted.transpose(0, 2, 3, 1)
    assert convert.compared((wanted,), (channels_last,), tolerance=IN_SINGLE, feeds={}).right
    assert convert.compared((wanted,), (wanted,), tolerance=IN_SINGLE, feeds={}).right
    turned = wanted.transpose(0, 1, 3, 2)
    assert not convert.compared((wanted,), (turned,), tolerance=IN_SINGLE, feeds={}).right
    one = np.float32(3.0)
    assert convert.compared((np.asarray(one),), (one.reshape(1),), tolerance=IN_SINGLE, feeds={}).right


def test_every_output_counts() -> None:
    wanted = (np.zeros(3, np.int64), np.ones(3, np.float32))
    weighed = convert.compared(wanted, (wanted[0], wanted[1] * 1.5), tolerance=IN_SINGLE, feeds={})
    assert (weighed.right, weighed.difference) == (False, 0.5)


def test_a_file_that_plain_kernels_do_not_run_is_not_right_on_them(tmp_path: Path) -> None:
    model = tflite_model()
    graph = model.subgraphs[0]
    graph.inputs, graph.outputs = [tensor(model, "x", [1, 4])], [tensor(model, "y", [1, 4])]
    values = np.ones((1, 4), np.float32)
    for sides, right in (([1, 4], True), ([1, 5], False)):
        sizes = flatbuffer.add_constant(model, "sizes", np.array(sides, np.int32))
        graph.operators = [
            flatbuffer.operator(model, "RESHAPE", [graph.inputs[0], sizes], [graph.outputs[0]])
        ]
        flatbuffer.save(model, tmp_path / "part.tflite")
        assert gpu._right_plainly(tmp_path / "part.tflite", (values,), (values,), {}, IN_SINGLE) is right


def test_each_table_has_one_device() -> None:
    assert xnnpack.devices(everywhere=False) == xnnpack.devices(everywhere=True) == ("litert",)
    assert gpu.devices(everywhere=False) == gpu.devices(everywhere=True) == ("vulkan",)
    assert xnnpack.version() == gpu.version()
    assert gpu.PRECISIONS == ("float",)
    assert xnnpack.PRECISIONS == ("float", "w8a8")


def test_an_activation_is_fused_across_the_reshape_of_a_pooled_image(tmp_path: Path) -> None:
    """Squeeze and excite: onnx2tf puts a RESHAPE there, and ai-edge-quantizer takes no RELU6 on its own."""
    excite = "p = GlobalAveragePool(image) e = Conv(p, up) a = Add(e, three) g = Clip(a, zero, six)"
    model = image(
        f"{excite} y = Mul(image, g)",
        up=random(4, 4, 1, 1),
        three=number(3.0),
        zero=number(0.0),
        six=number(6.0),
    )
    (value,) = model.graph.input
    sides = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    feeds = {value.name: np.random.default_rng(3).normal(size=sides).astype(np.float32)}
    each: list[Precision] = ["float", "w8a8"]
    cases = [Case(f"excite {p}", "Conv", "plain", "chain", model, feeds, p) for p in each]
    found = tried("litert-xnnpack", cases, tmp_path)
    assert {outcome.found for outcome in found.values()} == {"runs"}
