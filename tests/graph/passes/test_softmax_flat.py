"""softmax_flat: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.softmax import SOFTMAX_FLAT
from tests.graph.passes.agreement import agrees, image, leaves

MODELS = [
    pytest.param(image("y = Softmax(image)", opset=12), id="default"),
    pytest.param(image("y = LogSoftmax <axis = 2> (image)", opset=11), id="axis-2"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(SOFTMAX_FLAT, model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = Softmax <axis = 3> (image)", opset=12), id="last"),
        pytest.param(image("y = Softmax <axis = 1> (image)"), id="opset-13"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(SOFTMAX_FLAT, model)
