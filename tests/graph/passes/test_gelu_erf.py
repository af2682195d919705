"""gelu_erf: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.gelu import GELU_ERF
from tests.graph.passes.agreement import agrees, image, leaves, ops

MODELS = [
    pytest.param(image("y = Gelu(image)", opset=20), id="exact"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(GELU_ERF, model)
    assert {"Gelu"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image('y = Gelu <approximate = "tanh"> (image)', opset=20), id="tanh"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(GELU_ERF, model)
