"""Channels in another order, which OpenVINO's converter gets wrong unless it is kept from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from mosaic_deploy.backends.openvino.channel_order import count_from_the_end
from mosaic_deploy.backends.openvino.ir import convert
from mosaic_deploy.backends.openvino.run import predict
from mosaic_deploy.backends.registry import load_backend
from mosaic_deploy.workers.call import GIB, Call, call

OPENVINO = load_backend("openvino")

pytestmark = pytest.mark.skipif(OPENVINO.missing() is not None, reason=str(OPENVINO.missing()))

GATHER = """
    order = Constant<value_ints = [2, 0, 1, 4, 5, 3]>()
    turned = Gather<axis = 1>(deep, order)
"""
FIRST_AXIS = """
    order = Constant<value_ints = [0]>()
    turned = Gather(deep, order)
"""
SPLIT = """
    first, second, third = Split<axis = 1, num_outputs = 3>(deep)
    turned = Concat<axis = 1>(second, third, first)
"""
SIGMOID = GATHER.replace("turned", "open") + "turned = Sigmoid(open)"


def network(reorder: str) -> onnx.ModelProto:
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 18]>
        net (float[1, 3, 16, 16] image) => (float[1, 5, 16, 16] scores) {{
            stem = Conv<pads = [1, 1, 1, 1]>(image, stem_w)
            deep = Tanh(stem)
            {reorder}
            scores = Conv(turned, head_w)
        }}
    """)
    rng = np.random.default_rng(1)
    for name, shape in {"stem_w": (6, 3, 3, 3), "head_w": (5, 6, 1, 1)}.items():
        values = rng.normal(0, 0.5, shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return model


@pytest.mark.parametrize(
    "reorder",
    [
        pytest.param(GATHER, id="gather"),
        pytest.param(SIGMOID, id="gather and sigmoid"),
        pytest.param(SPLIT, id="split and concat"),
        pytest.param(FIRST_AXIS, id="gather of the only image"),
    ],
)
def test_channels_come_in_the_order_of_the_graph(tmp_path: Path, reorder: str) -> None:
    image = np.random.default_rng(2).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)
    source, xml, taken, given = (tmp_path / name for name in ("net.onnx", "net.xml", "in.npy", "out.npy"))
    onnx.save(network(reorder), source)
    np.save(taken, image)
    request = {"onnx": str(source), "xml": str(xml), "layout": "NCHW", "wanted": "NCHW"}
    call(Call(convert, request, 120, 4 * GIB, tmp_path / "convert.log", tmp_path / "a"))
    request = {"xml": str(xml), "device": "CPU", "hint": "f32", "arithmetic": "float32"}
    files = {"inputs": [str(taken)], "outputs": [str(given)]}
    call(Call(predict, {**request, **files}, 120, 4 * GIB, tmp_path / "run.log", tmp_path / "b"))
    session = onnxruntime.InferenceSession(str(source), providers=["CPUExecutionProvider"])
    expected = session.run(None, {"image": image})[0]
    assert np.abs(np.load(given) - expected).max() < 1e-5 * np.ptp(expected)


def test_axes_mean_the_same_and_unknown_ranks_stay() -> None:
    model = network(GATHER)
    gather = next(node for node in model.graph.node if node.op_type == "Gather")
    before = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.value_info
    count_from_the_end(model)
    assert [a.i for a in gather.attribute] == [-3]
    assert onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.value_info == before
    count_from_the_end(model)
    assert [a.i for a in gather.attribute] == [-3]
    unknown = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 18, "own": 1]>
        net (float[1, 3, 16, 16] image) => (float[1, 3, 16, 16] scores) {
            odd = own.Odd(image)
            scores = Concat<axis = 1>(odd, odd)
        }
    """)
    count_from_the_end(unknown)
    assert unknown.graph.node[1].attribute[0].i == 1
