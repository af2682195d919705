"""neg: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.activations import NEG
from tests.graph.passes.agreement import agrees, image, leaves, ops

MODELS = [
    pytest.param(image("y = Neg(image)"), id="float"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(NEG, model)
    assert {"Neg"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("i = Cast <to = 6> (image) j = Neg(i) y = Cast <to = 1> (j)"), id="integers"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(NEG, model)
