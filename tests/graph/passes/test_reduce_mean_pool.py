"""reduce_mean_pool: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.pools import REDUCE_MEAN_POOL
from tests.graph.passes.agreement import agrees, image, leaves, ops

MODELS = [
    pytest.param(image("y = ReduceMean(image, a)", a=[2, 3]), id="kept"),
    pytest.param(image("y = ReduceMean <keepdims = 0> (image, a)", a=[-1, -2]), id="dropped"),
    pytest.param(image("y = ReduceMean <axes = [2, 3]> (image)", opset=13), id="opset-13"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(REDUCE_MEAN_POOL, model)
    assert {"ReduceMean"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = ReduceMean(image, a)", a=[1]), id="channels"),
        pytest.param(image("y = ReduceMean(image)"), id="everything"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(REDUCE_MEAN_POOL, model)
