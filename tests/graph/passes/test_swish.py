"""swish: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.activations import SWISH
from tests.graph.passes.agreement import agrees, image, leaves, ops

MODELS = [
    pytest.param(image("y = Swish(image)", opset=24), id="one"),
    pytest.param(image("y = Swish <alpha = 1.7> (image)", opset=24), id="alpha"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(SWISH, model)
    assert {"Swish"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("s = Sigmoid(image) y = Mul(image, s)"), id="spelled-out"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(SWISH, model)
