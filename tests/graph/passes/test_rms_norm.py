"""rms_norm: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.norms import RMS_NORM
from tests.graph.passes.agreement import agrees, image, leaves, ops, random

MODELS = [
    pytest.param(image("y = RMSNormalization(image, s)", opset=23, s=random(8)), id="last"),
    pytest.param(image("y = RMSNormalization <axis = 2> (image, s)", opset=23, s=random(6, 8)), id="axis"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(RMS_NORM, model)
    assert {"RMSNormalization"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = LayerNormalization(image, s)", s=random(8)), id="layer-norm"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(RMS_NORM, model)
