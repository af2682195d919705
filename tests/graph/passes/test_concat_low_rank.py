"""concat_low_rank: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.stacking import CONCAT_LOW_RANK
from tests.graph.passes.agreement import agrees, image, leaves, ops

STACK = "a = Unsqueeze(image, k) n = Neg(image) b = Unsqueeze(n, k) y = Concat<axis = {axis}>(a, b)"
RESHAPED = "a = Reshape(image, k) b = Neg(a) y = Concat<axis = {axis}>(a, b, a)"

MODELS = [
    *(
        pytest.param(image(STACK.format(axis=axis), k=[axis]), id=f"stack along {axis}")
        for axis in (0, 1, 2, 3, 4, -1)
    ),
    *(
        pytest.param(image(RESHAPED.format(axis=axis), k=[1, 2, 2, 3, 2, 8]), id=f"six along {axis}")
        for axis in (0, 1, 2, 3, 4, 5)
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(CONCAT_LOW_RANK, model)


def test_a_stack_loses_its_unsqueezes() -> None:
    applied = agrees(CONCAT_LOW_RANK, image(STACK.format(axis=0), k=[0]))
    assert ops(applied.model) == ["Neg", "Concat", "Reshape"]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("b = Abs(image) y = Concat<axis = 1>(image, b)"), id="four"),
        pytest.param(
            image("b = acme.Odd(image) y = Concat<axis = 0>(b, b)", shape="1,1,4,6,8"), id="unknown"
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(CONCAT_LOW_RANK, model)
