"""low_rank_binary: same numbers, only where it may, and once."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from mosaic_deploy.graph.passes.low_rank import LOW_RANK_BINARY
from tests.graph.passes.agreement import agrees, image, leaves, random

MASKED: dict[str, Any] = {"shape": "4,2,3,8", "k": [2, 2, 2, 3, 8], "e": [4, 2, 3, 8]}
MODELS = [
    pytest.param(image("a = Reshape(image, k) b = Abs(a) y = Max(a, b)", k=[1, 2, 2, 6, 8]), id="two"),
    pytest.param(
        image("a = Reshape(image, k) y = Min(a, z)", k=[1, 2, 2, 6, 8], z=np.zeros((), np.float32)),
        id="number",
    ),
    pytest.param(
        image("a = Reshape(image, k) y = Max(a, b)", k=[1, 2, 2, 6, 8], b=random(6, 8)), id="repeated"
    ),
    pytest.param(
        image("a = Reshape(image, k) b = Add(a, m) y = Reshape(b, e)", m=random(1, 2, 1, 3, 8), **MASKED),
        id="mask",
    ),
    pytest.param(
        image("a = Reshape(image, k) b = Sub(m, a) y = Reshape(b, e)", m=random(2, 1, 1, 8), **MASKED),
        id="first",
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
            image(
                "a = Reshape(image, k) y = Add(a, b)",
                k=[2, 2, 2, 3, 8],
                b=random(2, 1, 2, 1, 8),
                shape="4,2,3,8",
            ),
            id="no-neighbours",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(LOW_RANK_BINARY, model)
