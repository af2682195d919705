"""transpose_stepwise: same numbers, in at most four dimensions, only where it may, and once."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosaic_deploy.graph.passes.transposes import TRANSPOSE_STEPWISE, merged, steps
from tests.graph.passes.agreement import agrees, image, leaves

WINDOWS = "a = Reshape(image, k) b = Transpose <perm = [0, 2, 4, 3, 5, 1]> (a) y = Reshape(b, e)"
MODELS = [
    pytest.param(
        image(WINDOWS, shape="1,8,6,8", k=[1, 8, 3, 2, 4, 2], e=[12, 4, 8]), id="windows-of-an-attention"
    ),
    pytest.param(
        image("a = Reshape(image, k) y = Transpose <perm = [4, 3, 2, 1, 0]> (a)", k=[2, 2, 2, 3, 8]),
        id="backwards",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    made = agrees(TRANSPOSE_STEPWISE, model).model.graph
    shapes = {value.name: len(value.type.tensor_type.shape.dim) for value in made.value_info}
    inner = [node for node in made.node if node.op_type == "Transpose"]
    assert len(inner) == 2
    assert all(shapes[node.output[0]] <= 4 for node in inner)


@given(order=st.permutations(range(6)), sides=st.lists(st.integers(1, 4), min_size=6, max_size=6))
def test_any_order_is_reached(order: list[int], sides: list[int]) -> None:
    numbers = np.arange(math.prod(sides)).reshape(sides)
    low, moves = merged(tuple(sides), tuple(order))
    found = numbers
    taken = steps(low, moves)
    for shape, perm in taken:
        assert len(shape) <= 4
        found = found.reshape(shape).transpose(perm)
    assert np.array_equal(found.reshape(-1), numbers.transpose(order).reshape(-1))
    assert len(taken) <= 3  # one order of six alone, (0, 4, 3, 2, 1, 5), takes three


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = Transpose <perm = [0, 2, 3, 1]> (image)"), id="four"),
        pytest.param(
            image("a = Reshape(image, k) y = Transpose <perm = [0, 2, 1, 3, 4]> (a)", k=[1, 2, 2, 6, 8]),
            id="some-move-together",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(TRANSPOSE_STEPWISE, model)
