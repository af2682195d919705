"""Names that the quantiser wants for itself, and images that it leaves in float."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from mosaic_deploy.quantize.lead_in import free_names, grid_of, quantize_image

UNSIGNED = {"bits": 8, "signed": False, "symmetric": False}


def graph(body: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : 18]>
        net (float[1,3,4,4] image) => (float[1,3,4,4] out) {body}""")


def run(model: onnx.ModelProto, image: NDArray[Any]) -> NDArray[Any]:
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: NDArray[Any] = session.run(None, {"image": image})[0]
    return found


def test_only_names_that_belong_to_another_tensor_are_changed() -> None:
    model = graph("""<float a_scale = {2}, float lone_scale = {3}> {
        a = Mul(image, a_scale) a_zero_point = Mul(a, lone_scale) out = Add(a_zero_point, a) }""")
    image = np.ones((1, 3, 4, 4), np.float32)
    before = run(model, image)
    free_names(model)
    names = {name for node in model.graph.node for name in (*node.input, *node.output)}
    assert names == {"image", "a", "a_scale_value", "lone_scale", "a_zero_point_value", "out"}
    assert (run(model, image) == before).all()


def test_an_output_keeps_its_name() -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18]>
        net (float[1] x) => (float[1] x_scale) { x_scale = Relu(x) }""")
    free_names(model)
    assert model.graph.output[0].name == model.graph.node[0].output[0] == "x_scale"


@pytest.mark.parametrize("body", ["{ out = Relu(image) }", "{ a = Relu(image) out = Add(image, a) }"])
def test_the_image_is_rounded_to_its_grid(body: str) -> None:
    model = graph(body)
    quantize_image(model, (0.5, 100), "uint8")
    assert [node.op_type for node in model.graph.node[:2]] == ["QuantizeLinear", "DequantizeLinear"]
    image = np.random.default_rng(0).normal(0, 30, (1, 3, 4, 4)).astype(np.float32)
    rounded = (np.clip(np.rint(image / 0.5) + 100, 0, 255) - 100).astype(np.float32) * 0.5
    np.testing.assert_array_equal(run(model, image), run(graph(body), rounded))


def test_a_quantised_image_stays_as_it_is() -> None:
    model = graph("<float s = {0.5}, uint8 z = {3}> { q = QuantizeLinear(image, s, z) "
                  "out = DequantizeLinear(q, s, z) }")  # fmt: skip
    before = model.SerializeToString()
    quantize_image(model, (1.0, 0), "uint8")
    assert model.SerializeToString() == before


@pytest.mark.parametrize(
    ("lowest", "highest", "grid", "expected"),
    [
        (0.0, 255.0, UNSIGNED, (1.0, 0)),
        (-1.0, 1.0, UNSIGNED, (2 / 255, 128)),
        (3.0, 51.0, UNSIGNED, (0.2, 0)),
        (-51.0, -3.0, UNSIGNED, (0.2, 255)),
        (0.0, 0.0, UNSIGNED, (1.0, 0)),
        (-1.0, 3.0, {"bits": 8, "signed": True, "symmetric": True}, (6 / 255, 0)),
        (0.0, 65535.0, {"bits": 16, "signed": False, "symmetric": False}, (1.0, 0)),
    ],
)
def test_a_range_and_its_grid(
    lowest: float, highest: float, grid: dict[str, Any], expected: tuple[float, int]
) -> None:
    scale, point = grid_of(lowest, highest, grid)
    assert scale == pytest.approx(expected[0])
    assert point == expected[1]
