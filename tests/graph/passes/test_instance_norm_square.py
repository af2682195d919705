"""instance_norm_square: same numbers, only where it may, and once."""

from __future__ import annotations

import onnx
import pytest

from mosaic_deploy.graph.passes.norms import INSTANCE_NORM_SQUARE
from tests.graph.passes.agreement import agrees, image, leaves, random

S, B = random(2), random(2)
BODY = "y = InstanceNormalization<epsilon = 0.001>(image, s, b)"


@pytest.mark.parametrize("length", [4096, 5000])
def test_before_and_after_agree(length: int) -> None:
    agrees(INSTANCE_NORM_SQUARE, image(BODY, shape=f"1,2,{length}", s=S, b=B))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(image(BODY, shape="1,2,4000", s=S, b=B), id="short"),
        pytest.param(image(BODY, shape="1,2,4099", s=S, b=B), id="prime"),
        pytest.param(image(BODY, shape="1,2,64,64", s=S, b=B), id="squares"),
    ],
)
def test_other_graphs_stay(model: onnx.ModelProto) -> None:
    leaves(INSTANCE_NORM_SQUARE, model)
