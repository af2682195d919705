"""cast_stepwise: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.casts import CAST_STEPWISE
from tests.graph.passes.agreement import agrees, image, leaves, network, number

MODELS = [
    pytest.param(
        network("g (uint8[1,3,6,8] image) => (int64[] y) { y = Cast <to = 7> (image) }"), id="bytes"
    ),
    pytest.param(
        image("a = Clip(image, l, h) y = Cast <to = 3> (a)", out="int8[] y", l=number(-3), h=number(3)),
        id="small",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(CAST_STEPWISE, model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = Cast <to = 10> (image)", out="float16[] y"), id="half"),
        pytest.param(image("y = Cast <to = 7> (image)", out="int64[] y"), id="long"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(CAST_STEPWISE, model)
