from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from mosaic_deploy.graph.passes.recheck import compare


def mask(bias: float, *, sigmoid: bool) -> onnx.ModelProto:
    """y = exp(x / 100 + bias), or nearly so: the sigmoid of a score that is far below 0."""
    nodes = [
        onnx.helper.make_node("Mul", ["x", "hundredth"], ["small"]),
        onnx.helper.make_node("Add", ["small", "bias"], ["score"]),
        onnx.helper.make_node("Sigmoid" if sigmoid else "Exp", ["score"], ["y"]),
    ]
    given, made = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1, 8, 8]) for name in ("x", "y")
    )
    stored = [
        onnx.helper.make_tensor(name, onnx.TensorProto.FLOAT, [], [value])
        for name, value in (("hundredth", 0.01), ("bias", bias))
    ]
    graph = onnx.helper.make_graph(nodes, "net", [given], [made], stored)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize(
    ("sigmoid", "biases", "near"),
    [
        pytest.param(True, (-16.0, -16.001), True, id="an empty mask has nothing to differ by"),
        pytest.param(False, (-16.0, -16.001), False, id="small scores are held against their own range"),
        pytest.param(True, (0.0, 0.1), False, id="a mask that differs does"),
    ],
)
def test_differences_of_shares_are_held_against_1(
    sigmoid: bool, biases: tuple[float, float], near: bool, tmp_path: Path
) -> None:
    paths = {}
    for name, bias in zip(("before", "after"), biases, strict=True):
        onnx.save(mask(bias, sigmoid=sigmoid), tmp_path / f"{name}.onnx")
        paths[name] = str(tmp_path / f"{name}.onnx")
    request = {**paths, "tensors": ["y"], "inputs": [], "random": 2, "seed": 0}
    found = compare(request, lambda _share, _note: None)["errors"]["y"]
    assert (found < 1e-6) is near
    assert (found > 1e-3) is not near
