"""Quantised files become the float networks that they state, their ranges beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from numpy.typing import NDArray

from mosaic_deploy.graph.normal.dequantize import dequantize, forget_ranges, stated_ranges
from mosaic_deploy.graph.normal.normalise import normalise
from mosaic_deploy.graph.quantised import how_quantised
from mosaic_deploy.graph.reader.read import read_model

GRID = (
    "s = Constant <value_float = 0.05> () z = Constant <value = uint8 {128}> () "
    "t = Constant <value_float = 0.02> () o = Constant <value = uint8 {0}> () "
    "six = Constant <value_float = 0.023529412> () "
    "u = Constant <value_float = 0.01> () n = Constant <value = int8 {0}> () "
)
WEIGHTS = "w = Constant <value = int8[4,3,1,1] {50,-60,70, -80,90,-100, 3,5,127, -127,1,2}> () "
SMALL_STEP = 0.2
"""Above what the roundings of these grids add up to."""


def model_of(body: str, *, takes: str = "float[1,3,6,8]", gives: str = "float[1,4,6,8]") -> onnx.ModelProto:
    domains = '"" : 17, "com.microsoft" : 1'
    text = f"<ir_version: 8, opset_import: [{domains}]> g ({takes} x) => ({gives} y) {{ {GRID} {body} }}"
    return onnx.parser.parse_model(text)


QDQ = (
    f"{WEIGHTS} q = QuantizeLinear (x, s, z) a = DequantizeLinear (q, s, z) k = DequantizeLinear (w, u, n) "
    "c = Conv (a, k) "
)
RECTIFIED = QDQ + "r = QuantizeLinear (c, t, o) y = DequantizeLinear (r, t, o)"
RECTIFIED_AT_SIX = QDQ + "r = QuantizeLinear (c, six, o) y = DequantizeLinear (r, six, o)"
MOVED = (
    QDQ + "r = QuantizeLinear (c, s, z) m = MaxPool <kernel_shape=[1,1]> (r) y = DequantizeLinear (m, s, z)"
)
WHOLE = (
    f"{WEIGHTS} q = QuantizeLinear (x, s, z) c = QLinearConv (q, s, z, w, u, n, s, z) "
    "d = com.microsoft.QLinearAdd (c, s, z, c, s, z, s, z) y = DequantizeLinear (d, s, z)"
)
ONLY_WEIGHTS = f"{WEIGHTS} k = DequantizeLinear (w, u, n) y = Conv (x, k)"
BYTES = f"{WEIGHTS} a = DequantizeLinear (x, s, z) k = DequantizeLinear (w, u, n) y = Conv (a, k)"


def read(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return read_model(path)


def run(model: onnx.ModelProto, image: NDArray[np.generic]) -> NDArray[np.float64]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": image})[0], np.float64)


@pytest.mark.parametrize(
    ("body", "ops", "ranges"),
    [
        pytest.param(RECTIFIED, ["Conv", "Relu"], 2, id="a-relu-that-the-grid-made-superfluous"),
        pytest.param(RECTIFIED_AT_SIX, ["Conv", "Clip"], 2, id="a-relu6"),
        pytest.param(MOVED, ["Conv", "MaxPool"], 2, id="integers-that-move"),
        pytest.param(WHOLE, ["Conv", "Add"], 3, id="integer-operators"),
        pytest.param(ONLY_WEIGHTS, ["Conv"], 0, id="weights-alone"),
    ],
)
def test_it_is_the_float_network(tmp_path: Path, body: str, ops: list[str], ranges: int) -> None:
    model = read(model_of(body), tmp_path)
    plain = normalise(model)
    assert [node.op_type for node in plain.graph.node if node.op_type != "Identity"] == ops
    assert how_quantised(plain) is None
    assert len(stated_ranges(plain)) == ranges
    image = np.random.default_rng(0).uniform(-2, 2, (1, 3, 6, 8)).astype(np.float32)
    expected = run(model, image)
    top = expected.max()  # where calibration ended, which is no part of the network
    found = np.clip(run(plain, image), -top if body == WHOLE else None, top)
    assert np.abs(found - expected).max() < SMALL_STEP
    assert np.ptp(expected) > 10 * SMALL_STEP


def test_ranges_are_what_the_integers_hold(tmp_path: Path) -> None:
    plain = normalise(read(model_of(RECTIFIED), tmp_path))
    ranges = stated_ranges(plain)
    assert ranges["x"] == pytest.approx((-6.4, 6.35))
    (rectified,) = (span for name, span in ranges.items() if name != "x")
    assert rectified == pytest.approx((0, 5.1))
    forget_ranges(plain)
    assert not stated_ranges(plain)


def test_an_image_of_integers_stays_one(tmp_path: Path) -> None:
    model = read(model_of(BYTES, takes="uint8[1,3,6,8]"), tmp_path)
    plain = normalise(model)
    assert how_quantised(plain) is None
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 6, 8)).astype(np.uint8)
    assert np.abs(run(plain, image) - run(model, image)).max() < 1e-4


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("y = Concat <axis=1> (x, e)", id="float"),
        pytest.param(
            f"{WEIGHTS} b = Cast <to = 1> (s) q = QuantizeLinear (x, b, z) a = DequantizeLinear (q, b, z) "
            "k = DequantizeLinear (w, u, n) v = ReduceMax <keepdims=1> (x) p = QuantizeLinear (x, v, z) "
            "c = DequantizeLinear (p, v, z) d = Add (a, c) y = Conv (d, k)",
            id="a-scale-that-is-computed",
        ),
        pytest.param(
            f"{WEIGHTS} q = QuantizeLinear (x, s, z) i = Cast <to = 6> (q) y = Conv (i, g)",
            id="integers-that-are-read-otherwise",
        ),
    ],
)
def test_what_is_not_understood_is_left_as_it_is(body: str) -> None:
    model = model_of(body)
    assert dequantize(model) is model
