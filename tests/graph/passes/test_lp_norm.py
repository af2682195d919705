"""lp_norm: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.norms import LP_NORM
from tests.graph.passes.agreement import agrees, image, leaves, number, ops

MODELS = [
    pytest.param(image("y = LpNormalization <axis = 1> (image)"), id="two"),
    pytest.param(image("y = LpNormalization <p = 1> (image)"), id="one"),
    pytest.param(image("a = Mul(image, z) y = LpNormalization(a)", z=number(0)), id="zeros"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(LP_NORM, model)
    assert {"LpNormalization"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = ReduceL2(image)"), id="reduce"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(LP_NORM, model)
