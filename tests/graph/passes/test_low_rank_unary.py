"""low_rank_unary: same numbers, only where it may, and once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.passes.low_rank import LOW_RANK_UNARY
from tests.graph.passes.agreement import agrees, image, leaves

MODELS = [
    pytest.param(
        image("a = Reshape(image, k) b = Tanh(a) y = Reshape(b, e)", k=[1, 2, 2, 6, 8], e=[1, 4, 6, 8]),
        id="tanh",
    ),
    pytest.param(image("a = Reshape(image, k) y = Elu <alpha = 0.5> (a)", k=[1, 2, 2, 6, 8]), id="elu"),
    pytest.param(
        image("a = Reshape(image, k) y = Clip(a, z)", k=[1, 2, 2, 2, 3, 8], z=np.zeros((), np.float32)),
        id="clip",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(LOW_RANK_UNARY, model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = Tanh(image)"), id="four"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(LOW_RANK_UNARY, model)
