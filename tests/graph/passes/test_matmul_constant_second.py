"""matmul_constant_second: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.products import MATMUL_CONSTANT_SECOND
from tests.graph.passes.agreement import agrees, image, leaves, ops, random


def test_before_and_after_agree() -> None:
    made = agrees(MATMUL_CONSTANT_SECOND, image("y = MatMul(w, image)", w=random(5, 6)))
    assert ops(made.model) == ["Transpose", "MatMul", "Transpose"]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = MatMul(image, w)", w=random(8, 5)), id="second-already"),
        pytest.param(image("y = MatMul(w, image)", w=random(1, 4, 5, 6)), id="a-stack-of-matrices"),
        pytest.param(
            image("t = Transpose <perm = [0, 1, 3, 2]> (image) y = MatMul(t, image)"), id="both-computed"
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(MATMUL_CONSTANT_SECOND, model)
