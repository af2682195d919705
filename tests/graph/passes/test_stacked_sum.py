"""stacked_sum: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.stacked_sums import STACKED_SUM
from tests.graph.passes.agreement import agrees, image, leaves

STACK = "p = Relu(image) q = Neg(image) a = Unsqueeze(p, z) b = Unsqueeze(q, z) c = Unsqueeze(image, z)"
MODELS = [
    pytest.param(
        image(f"{STACK} s = Concat <axis = 0> (a, b, c) y = ReduceSum <keepdims = 0> (s, z)", z=[0]),
        id="stack",
    ),
    pytest.param(
        image(f"{STACK} s = Concat <axis = 1> (a, b, c) y = ReduceSum <keepdims = 1> (s, z)", z=[1]),
        id="axis-kept",
    ),
    pytest.param(
        image(f"{STACK} s = Concat <axis = -5> (a, b) y = ReduceSum <keepdims = 0> (s, z)", z=[0]),
        id="from-the-end",
    ),
    pytest.param(
        image(f"{STACK} s = Concat <axis = 0> (a, b, c) y = ReduceMax <keepdims = 0> (s, z)", z=[0]),
        id="largest",
    ),
    pytest.param(
        image(f"{STACK} s = Concat <axis = 0> (a, b, c) y = ReduceMin <keepdims = 0> (s, z)", z=[0]),
        id="least",
    ),
    pytest.param(
        image(f"{STACK} s = Concat <axis = 0> (a, b, c) y = ReduceMean <keepdims = 0> (s, z)", z=[0]),
        id="mean",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(STACKED_SUM, model)
    assert "Concat" not in {node.op_type for node in applied.model.graph.node}


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            image("s = Concat <axis = 1> (image, image) y = ReduceSum (s, z)", z=[1]), id="longer-parts"
        ),
        pytest.param(
            image(f"{STACK} s = Concat <axis = 0> (a, b, c) y = ReduceSum (s, r)", z=[0], r=[1]),
            id="another-axis",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(STACKED_SUM, model)
