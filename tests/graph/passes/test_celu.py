"""celu: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.activations import CELU
from tests.graph.passes.agreement import agrees, image, leaves, ops

MODELS = [
    pytest.param(image("y = Celu(image)"), id="one"),
    pytest.param(image("y = Celu <alpha = 2.0> (image)"), id="two"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(CELU, model)
    assert {"Celu"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = Elu(image)"), id="elu"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(CELU, model)
