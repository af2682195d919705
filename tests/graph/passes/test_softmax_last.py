"""softmax_last: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.softmax import SOFTMAX_LAST
from tests.graph.passes.agreement import agrees, image, leaves

MODELS = [
    pytest.param(image("y = Softmax <axis = 1> (image)"), id="channels"),
    pytest.param(image("y = LogSoftmax <axis = -2> (image)"), id="log"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(SOFTMAX_LAST, model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = Softmax(image)"), id="last"),
        pytest.param(image("y = Softmax <axis = 1> (image)", opset=12), id="opset-12"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(SOFTMAX_LAST, model)
