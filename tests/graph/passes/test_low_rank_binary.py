"""low_rank_binary: same numbers, only where it may, and once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.passes.low_rank import LOW_RANK_BINARY
from tests.graph.passes.agreement import agrees, image, leaves, random

MODELS = [
    pytest.param(image("a = Reshape(image, k) b = Abs(a) y = Max(a, b)", k=[1, 2, 2, 6, 8]), id="two"),
    pytest.param(
        image("a = Reshape(image, k) y = Min(a, z)", k=[1, 2, 2, 6, 8], z=np.zeros((), np.float32)),
        id="number",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(LOW_RANK_BINARY, model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("b = Abs(image) y = Max(image, b)"), id="four"),
        pytest.param(
            image("a = Reshape(image, k) y = Max(a, b)", k=[1, 2, 2, 6, 8], b=random(6, 8)), id="broadcast"
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(LOW_RANK_BINARY, model)
