"""softsign: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.activations import SOFTSIGN
from tests.graph.passes.agreement import agrees, image, leaves, ops

MODELS = [
    pytest.param(image("y = Softsign(image)"), id="alone"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(SOFTSIGN, model)
    assert {"Softsign"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = Abs(image)"), id="abs"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(SOFTSIGN, model)
