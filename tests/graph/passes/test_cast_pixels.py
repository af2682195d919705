"""cast_pixels: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.casts import CAST_PIXELS
from tests.graph.passes.agreement import agrees, image, leaves, network, ops

MODELS = [
    pytest.param(
        network("g (uint8[1,3,6,8] image) => (float[] y) { y = Cast <to = 1> (image) }"), id="pixels"
    ),
    pytest.param(
        network(
            "g (uint8[1,3,6,8] image) => (float[] y) { a = Transpose <perm = [0, 2, 3, 1]> "
            "(image) b = Cast <to = 1> (a) y = Relu(b) }"
        ),
        id="inside",
    ),
]


@pytest.mark.parametrize("model", MODELS)
def test_before_and_after_agree(model: onnx.ModelProto) -> None:
    applied = agrees(CAST_PIXELS, model)
    assert {"Cast"}.isdisjoint(ops(applied.model))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            network("g (uint8[1,3,6,8] image) => (int32[] y) { y = Cast <to = 6> (image) }"), id="integers"
        ),
        pytest.param(image("a = ArgMax <axis = 1> (image) y = Cast <to = 1> (a)"), id="class-ids"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(CAST_PIXELS, model)
