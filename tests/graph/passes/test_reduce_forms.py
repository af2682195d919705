"""reduce_forms: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.low_rank import REDUCE_FORMS
from tests.graph.passes.agreement import agrees, image, leaves, ops

MODELS = [
    pytest.param(image("y = ReduceL1(image, a)", a=[1]), id="l1"),
    pytest.param(image("y = ReduceL2 <axes = [2, 3], keepdims = 0> (image)", opset=13), id="l2"),
    pytest.param(image("y = ReduceSumSquare(image)"), id="squares"),
    pytest.param(image("p = Abs(image) y = ReduceLogSum(p, a)", a=[-1]), id="log"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(REDUCE_FORMS, model)
    assert {"ReduceL1", "ReduceL2", "ReduceSumSquare"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = ReduceL1 <noop_with_empty_axes = 1> (image)"), id="noop"),
        pytest.param(image("y = ReduceSum(image)"), id="sum"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(REDUCE_FORMS, model)
