"""max_pool_dilated: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.pools import MAX_POOL_DILATED
from tests.graph.passes.agreement import agrees, image, leaves, ops

MODELS = [
    pytest.param(image("y = MaxPool <kernel_shape = [3, 3], dilations = [2, 2]> (image)"), id="plain"),
    pytest.param(
        image(
            "y = MaxPool <kernel_shape = [3, 3], dilations = [2, 3], strides = [2, 1], pads = "
            "[2, 1, 2, 2]> (image)"
        ),
        id="padded",
    ),
    pytest.param(
        image(
            "y = MaxPool <kernel_shape = [2, 2], dilations = [2, 2], strides = [2, 2], ceil_mode = 1> (image)"
        ),
        id="ceil",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(MAX_POOL_DILATED, model)
    assert {"MaxPool"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = MaxPool <kernel_shape = [3, 3]> (image)"), id="undilated"),
        pytest.param(
            image(
                "y, i = MaxPool <kernel_shape = [3, 3], dilations = [2, 2]> (image)",
                out="float[] y, int64[] i",
            ),
            id="indices",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(MAX_POOL_DILATED, model)
