"""instance_norm: same numbers, only where it may, and once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.passes.norms import INSTANCE_NORM
from tests.graph.passes.agreement import agrees, image, leaves, ops, random

MODELS = [
    pytest.param(
        image("y = InstanceNormalization(image, s, b)", s=random(4), b=random(4, seed=1)), id="plane"
    ),
    pytest.param(
        image("y = InstanceNormalization(image, s, b)", s=np.ones(4, np.float32), b=np.zeros(4, np.float32)),
        id="plain",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(INSTANCE_NORM, model)
    assert {"InstanceNormalization"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            image(
                "t = ReduceMean <keepdims = 0> (image, ax) y = InstanceNormalization(image, t, b)",
                ax=[0, 2, 3],
                b=random(4),
            ),
            id="computed",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(INSTANCE_NORM, model)
