"""Equalised networks compute the same, with channels of like ranges."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mosaic_deploy.graph.execute import Session
from mosaic_deploy.quantize.equalisation import equalised

SIDE = 6


def network(between: str = "Relu", *, depthwise: int = 0, read_twice: bool = False) -> onnx.ModelProto:
    """image -> Conv (8 channels of very unlike weights) -> ``between`` -> Conv -> scores."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=(8, 3, 1, 1)) * np.logspace(-2, 2, 8).reshape(-1, 1, 1, 1)
    second = rng.normal(size=(8 * depthwise, 1, 3, 3) if depthwise else (4, 8, 3, 3))
    weights = {"w1": first, "b1": rng.normal(size=8), "w2": second}
    nodes = [helper.make_node("Conv", ["image", "w1", "b1"], ["h"], "first")]
    nodes += [helper.make_node(between, ["h"], ["r"], "between")] if between else []
    read = "r" if between else "h"
    group = 8 if depthwise else 1
    nodes.append(helper.make_node("Conv", [read, "w2"], ["scores"], "second", group=group))
    outputs = ["scores", "h"] if read_twice else ["scores"]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("between", ["Relu", ""])
@pytest.mark.parametrize("depthwise", [0, 1, 2])
def test_the_network_computes_the_same_with_like_channels(between: str, depthwise: int) -> None:
    before = network(between, depthwise=depthwise)
    after, pairs = equalised(before)
    assert pairs == 1
    image = np.random.default_rng(1).normal(size=(1, 3, SIDE, SIDE)).astype(np.float32)
    ours, theirs = (Session(model).run({"image": image})[0] for model in (before, after))
    np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-4)
    sizes = [
        np.abs(numpy_helper.to_array(model.graph.initializer[0])).max(axis=(1, 2, 3))
        for model in (before, after)
    ]
    assert np.ptp(np.log(sizes[1])) < 0.6 * np.ptp(np.log(sizes[0]))


@pytest.mark.parametrize(("between", "twice"), [("HardSwish", False), ("Sigmoid", False), ("Relu", True)])
def test_what_a_factor_does_not_pass_stays(between: str, twice: bool) -> None:
    before = network(between, read_twice=twice)
    after, pairs = equalised(before)
    assert pairs == 0
    assert after.graph.initializer == before.graph.initializer
