"""layer_norm_decomposed: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.norms import LAYER_NORM_DECOMPOSED
from tests.graph.passes.agreement import agrees, image, leaves, ops, random

MODELS = [
    pytest.param(image("y = LayerNormalization(image, s, b)", s=random(8), b=random(8, seed=1)), id="last"),
    pytest.param(image("y = LayerNormalization <axis = 1> (image, s)", s=random(4, 6, 8)), id="axis"),
    pytest.param(image("y = LayerNormalization(image, s)", opset=17, s=random(8)), id="opset-17"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(LAYER_NORM_DECOMPOSED, model)
    assert {"LayerNormalization"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            image("y, m = LayerNormalization(image, s)", out="float[] y, float[] m", s=random(8)),
            id="mean-is-read",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(LAYER_NORM_DECOMPOSED, model)
