"""split_slices: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.slicing import SPLIT_SLICES
from tests.graph.passes.agreement import agrees, image, leaves, ops

MODELS = [
    pytest.param(image("a, b = Split <axis = 1, num_outputs = 2> (image) y = Add(a, b)"), id="even"),
    pytest.param(
        image("a, b = Split <axis = -1> (image, s) y = Concat <axis = 3> (b, a)", s=[3, 5]), id="sizes"
    ),
    pytest.param(
        image("y, z = Split <axis = 1, num_outputs = 2> (image)", out="float[] y, float[] z"), id="output"
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(SPLIT_SLICES, model)
    assert {"Split"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = Slice(image, s, e)", s=[0, 1], e=[1, 3]), id="slice"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(SPLIT_SLICES, model)
