"""conv_transpose_dilated: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.convolutions import CONV_TRANSPOSE_DILATED
from tests.graph.passes.agreement import agrees, image, leaves, random

MODELS = [
    pytest.param(
        image(
            "y = ConvTranspose <dilations = [2, 2], strides = [2, 2], pads = [1, 1, 1, 1]> (image, w, b)",
            w=random(4, 3, 3, 3),
            b=random(3),
        ),
        id="two",
    ),
    pytest.param(
        image(
            "y = ConvTranspose <dilations = [1, 3], kernel_shape = [2, 2]> (image, w)", w=random(4, 3, 2, 2)
        ),
        id="one-axis",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(CONV_TRANSPOSE_DILATED, model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            image("y = ConvTranspose <dilations = [1, 1]> (image, w)", w=random(4, 3, 2, 2)), id="undilated"
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(CONV_TRANSPOSE_DILATED, model)
