"""arg_max_first: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.casts import ARG_MAX_FIRST
from tests.graph.passes.agreement import agrees, image, leaves

MODELS = [
    pytest.param(
        image("r = Round(image) y = ArgMax <axis = 1, select_last_index = 1> (r)", out="int64[] y"), id="last"
    ),
    pytest.param(
        image(
            "r = Round(image) y = ArgMin <axis = -1, keepdims = 0, select_last_index = 1> (r)",
            out="int64[] y",
        ),
        id="dropped",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(ARG_MAX_FIRST, model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image("y = ArgMax <axis = 1> (image)", out="int64[] y"), id="first"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(ARG_MAX_FIRST, model)
