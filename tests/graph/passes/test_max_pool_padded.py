"""max_pool_padded: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.pools import MAX_POOL_PADDED
from tests.graph.passes.agreement import agrees, image, leaves

POOL = "y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x)"


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image(f"x = Relu (image) {POOL}"), id="relu"),
        pytest.param(image(f"x = Sigmoid (image) {POOL}"), id="sigmoid"),
        pytest.param(
            image(f"low = Constant <value = float {{0}}> () x = Clip (image, low) {POOL}"), id="clip from 0"
        ),
        pytest.param(
            image("x = Relu (image) y = MaxPool <kernel_shape = [3, 2], pads = [0, 1, 1, 0]> (x)"),
            id="one-side",
        ),
    ],
)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(MAX_POOL_PADDED, model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image(f"x = Neg (image) {POOL}"), id="negative numbers"),
        pytest.param(
            image(f"low = Constant <value = float {{-1}}> () x = Clip (image, low) {POOL}"), id="clip from -1"
        ),
        pytest.param(image(f"x = Clip (image) {POOL}"), id="clip from nothing"),
        pytest.param(
            image("x = Relu (image) y = MaxPool <kernel_shape = [3, 3], strides = [2, 2]> (x)"), id="no-pads"
        ),
        pytest.param(
            image(
                "x = Relu (image) "
                "y = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], dilations = [2, 2]> (x)"
            ),
            id="dilated",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(MAX_POOL_PADDED, model)
