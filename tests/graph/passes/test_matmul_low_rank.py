"""matmul_low_rank: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.low_rank import MATMUL_LOW_RANK
from tests.graph.passes.agreement import agrees, image, leaves, random

MODELS = [
    pytest.param(
        image(
            "a = Reshape(image, k) b = Transpose <perm = [0, 1, 2, 4, 3]> (a) y = MatMul(a, b)",
            k=[1, 2, 2, 6, 8],
        ),
        id="five",
    ),
    pytest.param(
        image("a = Reshape(image, k) y = MatMul(a, w)", k=[1, 2, 2, 6, 8], w=random(8, 5)), id="matrix"
    ),
    pytest.param(
        image("a = Reshape(image, k) y = MatMul(w, a)", k=[1, 2, 2, 6, 8], w=random(1, 1, 1, 5, 6)), id="ones"
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(MATMUL_LOW_RANK, model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = MatMul(image, w)", w=random(8, 5)), id="four"),
        pytest.param(
            image("a = Reshape(image, k) y = MatMul(a, w)", k=[1, 2, 2, 6, 8], w=random(2, 8, 5)),
            id="broadcast",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(MATMUL_LOW_RANK, model)
