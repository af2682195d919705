"""erf: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.activations import ERF
from tests.graph.passes.agreement import agrees, image, leaves, ops

MODELS = [
    pytest.param(image("y = Erf(image)"), id="alone"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(ERF, model)
    assert {"Erf"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = Tanh(image)"), id="tanh"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(ERF, model)
