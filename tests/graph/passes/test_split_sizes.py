"""split_sizes: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.slicing import SPLIT_SIZES
from tests.graph.passes.agreement import agrees, image, leaves

MODELS = [
    pytest.param(image("a, b = Split <axis = 1, num_outputs = 2> (image) y = Add(a, b)"), id="even"),
    pytest.param(
        image("a, b, c = Split <axis = 3, num_outputs = 3> (image) y = Concat <axis = 3> (c, a, b)"),
        id="uneven",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(SPLIT_SIZES, model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("a, b = Split <axis = 1> (image, s) y = Add(a, b)", s=[2, 2]), id="sizes"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(SPLIT_SIZES, model)
