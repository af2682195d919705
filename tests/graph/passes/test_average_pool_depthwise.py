"""average_pool_depthwise: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.pools import AVERAGE_POOL_DEPTHWISE
from tests.graph.passes.agreement import agrees, image, leaves, ops

MODELS = [
    pytest.param(
        image("y = AveragePool <kernel_shape = [2, 2], dilations = [2, 2]> (image)", opset=19), id="dilated"
    ),
    pytest.param(image("y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (image)"), id="pads"),
    pytest.param(
        image("y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1> (image)"),
        id="counted",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(AVERAGE_POOL_DEPTHWISE, model)
    assert {"AveragePool"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            image('y = AveragePool <kernel_shape = [3, 3], auto_pad = "SAME_UPPER"> (image)'), id="same"
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(AVERAGE_POOL_DEPTHWISE, model)
