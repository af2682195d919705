"""depthwise_wide: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.convolutions import DEPTHWISE_WIDE
from tests.graph.passes.agreement import agrees, image, leaves, random

W, B = random(4, 1, 1, 1), random(4)

MODELS = [
    pytest.param(image("y = Conv<group = 4>(image, w, b)", w=W, b=B), id="bias"),
    pytest.param(image("y = Conv<group = 4, kernel_shape = [1, 1]>(image, w)", w=W), id="no bias"),
    pytest.param(image("y = Conv<group = 4, strides = [2, 3]>(image, w, b)", w=W, b=B), id="strides"),
    pytest.param(image("y = Conv<group = 4, pads = [1, 2, 0, 1]>(image, w, b)", w=W, b=B), id="pads"),
    pytest.param(
        image('y = Conv<group = 4, auto_pad = "VALID", dilations = [2, 2]>(image, w)', w=W), id="valid"
    ),
    pytest.param(image("y = Conv<group = 4>(image, w)", w=random(8, 1, 1, 1)), id="twice the channels"),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(DEPTHWISE_WIDE, model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = Conv(image, w)", w=random(3, 4, 1, 1)), id="dense"),
        pytest.param(image("y = Conv<group = 2>(image, w)", w=random(4, 2, 1, 1)), id="groups"),
        pytest.param(image("y = Conv<group = 4>(image, w)", w=random(4, 1, 3, 1)), id="three taps"),
        pytest.param(
            image('y = Conv<group = 4, auto_pad = "SAME_UPPER", strides = [2, 2]>(image, w)', w=W), id="same"
        ),
        pytest.param(image("y = Conv<group = 4>(image, w)", shape="1,4,6", w=random(4, 1, 1)), id="one axis"),
        pytest.param(image("w = Abs(v) y = Conv<group = 4>(image, w)", v=W), id="computed weights"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(DEPTHWISE_WIDE, model)
