"""layer_norm_last: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.norms import LAYER_NORM_LAST
from tests.graph.passes.agreement import agrees, image, leaves, random

MODELS = [
    pytest.param(
        image("y = LayerNormalization <axis = 2> (image, s, b)", s=random(6, 8), b=random(6, 8, seed=1)),
        id="two-axes",
    ),
    pytest.param(
        image("y = LayerNormalization <axis = 0, epsilon = 0.001> (image, s)", s=random(1, 4, 6, 8)),
        id="all-axes",
    ),
    pytest.param(
        image("a = Reshape(image, k) y = LayerNormalization(a, s)", k=[1, 2, 2, 6, 8], s=random(8)),
        id="five-dimensions",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(LAYER_NORM_LAST, model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = LayerNormalization(image, s)", s=random(8)), id="last"),
        pytest.param(image("y = LayerNormalization <axis = 2> (image, s)", s=random(8)), id="broadcast"),
        pytest.param(
            image(
                "s = ReduceMean <keepdims = 0> (image, ax) y = LayerNormalization <axis = 2> (image, s)",
                ax=[0, 1],
            ),
            id="computed",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(LAYER_NORM_LAST, model)
