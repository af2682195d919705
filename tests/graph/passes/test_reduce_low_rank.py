"""reduce_low_rank: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.low_rank import REDUCE_LOW_RANK
from tests.graph.passes.agreement import agrees, image, leaves

MODELS = [
    pytest.param(image("a = Reshape(image, k) y = ReduceMax(a, x)", k=[1, 2, 2, 6, 8], x=[3, 4]), id="max"),
    pytest.param(
        image("a = Reshape(image, k) y = ReduceMean <keepdims = 0> (a, x)", k=[1, 2, 2, 6, 8], x=[-1]),
        id="mean",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(REDUCE_LOW_RANK, model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = ReduceMax(image, x)", x=[1]), id="four"),
        pytest.param(
            image("a = Reshape(image, k) y = ReduceMax(a, x)", k=[2, 2, 2, 3, 8], x=[0, 2, 4]),
            id="alternating",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(REDUCE_LOW_RANK, model)
