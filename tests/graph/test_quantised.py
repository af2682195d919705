"""Models that are quantised already are recognised by what they hold."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.parser
import pytest

from mosaic_deploy.errors import ModelError
from mosaic_deploy.graph.quantised import how_quantised, require_float, require_readable

SCALE = "s = Constant <value_float = 0.1> () z = Constant <value = uint8 {0}> ()"
QDQ = f"{SCALE} q = QuantizeLinear (x, s, z) y = DequantizeLinear (q, s, z)"
WHOLE = (
    f"{SCALE} q = QuantizeLinear (x, s, z) r = QLinearMatMul (q, s, z, q, s, z, s, z) "
    "y = DequantizeLinear (r, s, z)"
)
DYNAMIC = "q, s, z = DynamicQuantizeLinear (x) r = ConvInteger (q, q, z, z) y = Cast <to = 1> (r)"


def model_of(body: str) -> onnx.ModelProto:
    domains = '"" : 17, "com.microsoft" : 1, "qonnx.custom_op.general" : 1'
    text = (
        f"<ir_version: 8, opset_import: [{domains}]> g (float[1,3,8,8] x) => (float[1,3,8,8] y) {{ {body} }}"
    )
    return onnx.parser.parse_model(text)


@pytest.mark.parametrize(
    ("body", "how"),
    [
        pytest.param(QDQ, "as QuantizeLinear and DequantizeLinear (QDQ)", id="qdq"),
        pytest.param(WHOLE, "in integer operators (QLinearMatMul)", id="integer-operators"),
        pytest.param(DYNAMIC, "dynamically (DynamicQuantizeLinear)", id="dynamic"),
        pytest.param(
            "w = com.microsoft.QLinearAdd (x, x, x, x, x, x, x, x) y = Cast <to = 1> (w)",
            "in integer operators (QLinearAdd)",
            id="microsofts",
        ),
        pytest.param(
            "q = Constant <value = int8[1] {3}> () s = Constant <value_float = 0.1> () "
            "w = DequantizeLinear (q, s) y = Mul (x, w)",
            "in its weights (DequantizeLinear)",
            id="weights",
        ),
        pytest.param("y = qonnx.custom_op.general.Quant (x, x, x, x)", "in training (Quant)", id="trained"),
    ],
)
def test_quantised_models_are_refused_in_one_line(tmp_path: Path, body: str, how: str) -> None:
    model = model_of(body)
    assert how_quantised(model) == how
    path = tmp_path / "small.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="build from the float model") as caught:
        require_float(model, path)
    assert str(caught.value).startswith(f"{path}: is quantised already, {how}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("y = Relu (x)", id="plain"),
        pytest.param("y = Relu (x) d, s, z = DynamicQuantizeLinear (x)", id="in-what-leads-nowhere"),
        pytest.param("a = Cast <to = 2> (x) y = Cast <to = 1> (a)", id="bytes"),
    ],
)
def test_float_models_are_taken(tmp_path: Path, body: str) -> None:
    path = tmp_path / "small.onnx"
    path.write_bytes(model_of(body).SerializeToString())
    require_readable(path)


@pytest.mark.parametrize(("body", "taken"), [(QDQ, True), (WHOLE, True), (DYNAMIC, False)])
def test_static_quantisation_is_readable_and_dynamic_is_not(tmp_path: Path, body: str, taken: bool) -> None:
    path = tmp_path / "small.onnx"
    path.write_bytes(model_of(body).SerializeToString())
    if taken:
        require_readable(path)
    else:
        with pytest.raises(ModelError, match="DynamicQuantizeLinear"):
            require_readable(path)
