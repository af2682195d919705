"""mean_variance_norm: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.norms import MEAN_VARIANCE_NORM
from tests.graph.passes.agreement import agrees, image, leaves, ops, random

MODELS = [
    pytest.param(image("y = MeanVarianceNormalization <axes = [0, 2, 3]> (image)"), id="default"),
    pytest.param(image("y = MeanVarianceNormalization <axes = [2, 3]> (image)"), id="axes"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(MEAN_VARIANCE_NORM, model)
    assert {"MeanVarianceNormalization"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            image("y = InstanceNormalization(image, s, b)", s=random(4), b=random(4)), id="instance"
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(MEAN_VARIANCE_NORM, model)
