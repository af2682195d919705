"""hardsigmoid: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.activations import HARDSIGMOID
from tests.graph.passes.agreement import agrees, image, leaves, ops

MODELS = [
    pytest.param(image("y = HardSigmoid(image)"), id="default"),
    pytest.param(image("y = HardSigmoid <alpha = 0.16666667> (image)"), id="sixth"),
    pytest.param(image("y = HardSigmoid <alpha = 0.3, beta = 0.1> (image)"), id="odd"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(HARDSIGMOID, model)
    assert {"HardSigmoid"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = Sigmoid(image)"), id="sigmoid"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(HARDSIGMOID, model)
