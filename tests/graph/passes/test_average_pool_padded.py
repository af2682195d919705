"""average_pool_padded: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.pools import AVERAGE_POOL_PADDED
from tests.graph.passes.agreement import agrees, image, leaves

MODELS = [
    pytest.param(
        image("y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1> (image)"),
        id="counted",
    ),
    pytest.param(
        image(
            "y = AveragePool <kernel_shape = [3, 3], strides = [2, 2], pads = [0, 1, 1, 0], "
            "count_include_pad = 1> (image)"
        ),
        id="one-side",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(AVERAGE_POOL_PADDED, model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            image("y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (image)"), id="not-counted"
        ),
        pytest.param(
            image("y = AveragePool <kernel_shape = [3, 3], count_include_pad = 1> (image)"), id="no-pads"
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(AVERAGE_POOL_PADDED, model)
