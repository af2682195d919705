"""average_pool_ceil: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.pools import AVERAGE_POOL_CEIL
from tests.graph.passes.agreement import agrees, image, leaves

MODELS = [
    pytest.param(
        image("y = AveragePool <kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1> (image)"),
        id="overshoot",
    ),
    pytest.param(
        image(
            "y = AveragePool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1], "
            "ceil_mode = 1> (image)",
            shape="1,4,6,9",
        ),
        id="pads",
    ),
    pytest.param(
        image("y = AveragePool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (image)"), id="whole"
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(AVERAGE_POOL_CEIL, model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = AveragePool <kernel_shape = [3, 3], strides = [2, 2]> (image)"), id="floor"),
        pytest.param(
            image(
                'y = AveragePool <kernel_shape = [3, 3], strides = [2, 2], auto_pad = "SAME_UPPER", '
                "ceil_mode = 1> (image)"
            ),
            id="same",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(AVERAGE_POOL_CEIL, model)
