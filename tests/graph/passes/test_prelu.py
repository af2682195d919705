"""prelu: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.activations import PRELU
from tests.graph.passes.agreement import agrees, image, leaves, ops, random

MODELS = [
    pytest.param(image("y = PRelu(image, s)", s=random(4, 1, 1)), id="channels"),
    pytest.param(image("y = PRelu(image, s)", s=random(1)), id="one"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(PRELU, model)
    assert {"PRelu"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("s = Sigmoid(image) y = PRelu(image, s)"), id="computed-slope"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(PRELU, model)
