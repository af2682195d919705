"""batch_norm_alone: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.convolutions import BATCH_NORM_ALONE
from tests.graph.passes.agreement import agrees, image, leaves, ops, random

MODELS = [
    pytest.param(
        image(
            "y = BatchNormalization(image, s, o, m, v)",
            s=random(4) ** 2 + 1,
            o=random(4, seed=1),
            m=random(4, seed=2),
            v=random(4, seed=3) ** 2 + 0.1,
        ),
        id="plane",
    ),
    pytest.param(
        image(
            "a = Reshape(image, k) y = BatchNormalization(a, s, o, m, v)",
            k=[1, 4, 2, 3, 8],
            s=random(4) ** 2 + 1,
            o=random(4, seed=1),
            m=random(4, seed=2),
            v=random(4, seed=3) ** 2 + 0.1,
        ),
        id="five-dimensions",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(BATCH_NORM_ALONE, model)
    assert {"BatchNormalization"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            image(
                "t = Abs(image) k = ReduceMean <keepdims = 0> (t, ax) y = BatchNormalization(image, "
                "k, o, m, v)",
                ax=[0, 2, 3],
                s=random(4) ** 2 + 1,
                o=random(4, seed=1),
                m=random(4, seed=2),
                v=random(4, seed=3) ** 2 + 0.1,
            ),
            id="computed-scale",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(BATCH_NORM_ALONE, model)
