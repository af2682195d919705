"""group_norm: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.norms import GROUP_NORM
from tests.graph.passes.agreement import agrees, image, leaves, ops, random

MODELS = [
    pytest.param(
        image(
            "y = GroupNormalization <num_groups = 2> (image, s, b)",
            opset=21,
            s=random(4),
            b=random(4, seed=1),
        ),
        id="channels",
    ),
    pytest.param(
        image("y = GroupNormalization <num_groups = 2> (image, s, b)", s=random(2), b=random(2, seed=1)),
        id="groups",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(GROUP_NORM, model)
    assert {"GroupNormalization"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            image(
                "t = ReduceMean <keepdims = 0> (image, ax) y = GroupNormalization <num_groups = 2> "
                "(image, t, b)",
                opset=21,
                ax=[0, 2, 3],
                b=random(4),
            ),
            id="computed",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(GROUP_NORM, model)
