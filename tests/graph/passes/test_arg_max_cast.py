"""arg_max_cast: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.casts import ARG_MAX_CAST
from tests.graph.passes.agreement import agrees, image, leaves

MODELS = [
    pytest.param(
        image(
            "a = ArgMax <axis = 1> (image) b = Reshape(a, k) y = Cast <to = 6> (b)",
            out="int32[] y",
            k=[1, 6, 8],
        ),
        id="reshape",
    ),
    pytest.param(
        image(
            "a = ArgMax <axis = 1> (image) b = Squeeze(a, k) c = Unsqueeze(b, k) y = Cast <to = 6> (c)",
            out="int32[] y",
            k=[1],
        ),
        id="squeeze",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    agrees(ARG_MAX_CAST, model)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            image("a = ArgMax <axis = 1> (image) y = Cast <to = 6> (a)", out="int32[] y"), id="behind-already"
        ),
        pytest.param(
            image(
                "a = ArgMax <axis = 1> (image) b = Reshape(a, k) y = Cast <to = 6> (b) z = Abs(b)",
                out="int32[] y, int64[] z",
                k=[1, 6, 8],
            ),
            id="read-twice",
        ),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(ARG_MAX_CAST, model)
